const MICRO = 1_000_000;

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const upToTwo = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });
const twoDigits = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });
const exact = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 6, maximumFractionDigits: 6 });

/** Credits for reading: two decimals, or two significant digits of what is less; a tiny amount is never shown as zero. */
export function credits(micro: number): string {
  const amount = micro / MICRO;
  const form = amount !== 0 && Math.abs(amount) < 0.1 ? twoDigits : upToTwo;
  return form.format(amount).replace("-", "−");
}

/** Credits to the micro-credit, for ledgers. */
export function creditsExact(micro: number): string {
  return exact.format(micro / MICRO).replace("-", "−");
}

export function creditWord(micro: number): string {
  return micro === MICRO ? "credit" : "credits";
}

export function count(value: number): string {
  return whole.format(value);
}

/** "1 remix", "4 remixes" */
export function plural(value: number, one: string, many: string): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

/** "1.2K": for counts beside a picture, where the exact one is a look away. */
export function compact(value: number): string {
  return short.format(value);
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 9.95) return `${upToTwo.format(Math.round(seconds * 10) / 10)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

export function bytes(size: number): string {
  let value = size;
  let unit = 0;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? value : upToTwo.format(Math.round(value * 10) / 10)} ${UNITS[unit]}`;
}

const dayTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const dayShort = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

export function dateTime(rfc3339: string): string {
  return dayTime.format(new Date(rfc3339));
}
export function date(rfc3339: string): string {
  return day.format(new Date(rfc3339));
}
/** A calendar day of the metrics (UTC): "2026-11-23" reads "23 Nov". */
export function utcDay(isoDate: string): string {
  return dayShort.format(new Date(`${isoDate.slice(0, 10)}T00:00:00Z`));
}

/** "just now", "4 min ago", "3 h ago", then the date. */
export function ago(rfc3339: string, now_ms: number): string {
  const passed = now_ms - Date.parse(rfc3339);
  if (passed < 45_000) return "just now";
  if (passed < 3_600_000) return `${Math.max(1, Math.round(passed / 60_000))} min ago`;
  if (passed < 86_400_000) return `${Math.round(passed / 3_600_000)} h ago`;
  return dateTime(rfc3339);
}

/** "Today", "Yesterday", then the date, by the reader's own clock. */
export function dayName(rfc3339: string, now_ms: number): string {
  const start = (ms: number) => new Date(ms).setHours(0, 0, 0, 0);
  const days = Math.round((start(now_ms) - start(Date.parse(rfc3339))) / 86_400_000);
  return days <= 0 ? "Today" : days === 1 ? "Yesterday" : date(rfc3339);
}

/** "12:04:07.218": for timelines, where milliseconds matter. */
export function clock(rfc3339: string): string {
  const time = new Date(rfc3339);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** "zoom_in" reads "Zoom in". */
export function humanise(identifier: string): string {
  const words = identifier.replace(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The end of an id is its random part: enough for a person to tell two apart. */
export function shortId(id: string): string {
  return id.length > 12 ? id.slice(-8) : id;
}

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})\b/g;

/** Where in an input a fault is, as the server's validation says it. */
const INPUT_POINTER = /^\/input\/(\w+)\S* /;

/** A system's own words for a person: amounts in credits, ids by their end, fields by their name. */
export function readable(text: string): string {
  return text
    .replace(INPUT_POINTER, (_, field: string) => `${humanise(field)}: `)
    .replace(
      /\b(\d+) micro-credits?\b/g,
      (_, micro: string) => `${credits(Number(micro))} ${creditWord(Number(micro))}`,
    )
    .replace(UUID, (id) => `…${shortId(id)}`);
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function listOf(parts: string[]): string {
  if (parts.length <= 1) return parts[0] ?? "";
  return `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

export function dimensions(width?: number | null, height?: number | null): string {
  return width && height ? `${width} × ${height}` : "";
}
