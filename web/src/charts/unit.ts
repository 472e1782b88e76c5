import { count, credits, duration } from "../lib/format";

const ratio = new Intl.NumberFormat("en-GB", { style: "percent", maximumFractionDigits: 1 });

/** A value of a metric with its unit, for people. Undefined is a dash, never zero. */
export function withUnit(value: number | null, unit: string): string {
  if (value === null) return "–";
  switch (unit) {
    case "ratio":
      return ratio.format(value);
    case "milliseconds":
      return duration(value);
    case "micro_credits":
      return `${credits(value)} credits`;
    case "persons":
      return `${count(value)} ${value === 1 ? "person" : "people"}`;
    default:
      return `${count(value)} ${value === 1 ? unit.replace(/s$/, "") : unit}`;
  }
}

/** The same without the unit's word, for the ticks of an axis that names its unit once. */
export function tick(value: number, unit: string): string {
  switch (unit) {
    case "ratio":
      return ratio.format(value);
    case "milliseconds":
      return value === 0 ? "0" : duration(value);
    case "micro_credits":
      return credits(value);
    default:
      return count(value);
  }
}

export function unitWord(unit: string): string {
  switch (unit) {
    case "ratio":
      return "per cent";
    case "milliseconds":
      return "time";
    case "micro_credits":
      return "credits";
    case "persons":
      return "people";
    default:
      return unit;
  }
}
