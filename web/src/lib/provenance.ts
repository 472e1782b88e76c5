import { count, duration, humanise, plural } from "./format";

/** Said elsewhere on the page, or the same thing twice. */
const SAID_ELSEWHERE: Record<string, readonly string[]> = {
  film: ["assets", "width", "height", "seconds", "length_ms"],
};

/** The settings with which something was made, as a person reads them: a name and a value with its unit. */
export function parameterFacts(tool: string | null, parameters: Record<string, unknown> | null): [string, string][] {
  const hidden = SAID_ELSEWHERE[tool ?? ""] ?? [];
  return Object.entries(parameters ?? {})
    .filter(([name, value]) => value !== null && value !== "" && !hidden.includes(name))
    .map(([name, value]) => fact(name, value));
}

function fact(name: string, value: unknown): [string, string] {
  if (Array.isArray(value)) {
    if (name === "clips") return ["Cut", plural(value.length, "clip", "clips")];
    return [humanise(name), plural(value.length, "entry", "entries")];
  }
  if (typeof value === "boolean") return [humanise(name), value ? "yes" : "no"];
  if (typeof value === "number") return measured(name, value);
  if (typeof value === "object")
    return [humanise(name), plural(Object.keys(value ?? {}).length, "setting", "settings")];
  return [humanise(name), String(value)];
}

/** A number's unit is the end of its name. */
function measured(name: string, value: number): [string, string] {
  if (name === "fps") return ["Frames a second", count(value)];
  const [unit] = /_[a-z]+$/.exec(name) ?? [""];
  const bare = humanise(name.slice(0, name.length - unit.length));
  switch (unit) {
    case "_lufs":
      return [bare, `${count(value).replace("-", "−")} LUFS`];
    case "_ms":
      return [bare, duration(value)];
    case "_px":
      return [bare, `${count(value)} px`];
    default:
      return [humanise(name), name === "seed" ? String(value) : count(value)];
  }
}
