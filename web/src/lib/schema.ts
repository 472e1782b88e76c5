import type { JsonSchema } from "../api/types";
import { humanise } from "./format";

/** One field of a form, made from one property of a tool's input schema. */
export type Field =
  | { kind: "asset"; name: string; label: string; help: string; required: boolean }
  | {
      kind: "choice";
      name: string;
      label: string;
      help: string;
      required: boolean;
      options: Option[];
      initial: unknown;
    }
  | {
      kind: "number";
      name: string;
      label: string;
      help: string;
      required: boolean;
      unit: string;
      min: number | null;
      max: number | null;
      step: number;
      initial: number | null;
    }
  | { kind: "switch"; name: string; label: string; help: string; required: boolean; initial: boolean }
  | {
      kind: "text";
      name: string;
      label: string;
      help: string;
      required: boolean;
      lengthMax: number | null;
      initial: string;
    };

export interface Option {
  value: unknown;
  label: string;
}

export type Values = Record<string, unknown>;

export function fieldsOf(schema: JsonSchema): Field[] {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {})
    .sort(([, a], [, b]) => (a["x-ui"]?.order ?? ORDER_LAST) - (b["x-ui"]?.order ?? ORDER_LAST))
    .map(([name, property]) => fieldOf(name, property, required.has(name)));
}

const ORDER_LAST = 1_000;

function fieldOf(name: string, property: JsonSchema, required: boolean): Field {
  const base = { name, label: property.title ?? humanise(name), help: property.description ?? "", required };
  if (property.format === "asset") return { kind: "asset", ...base };
  const options = optionsOf(property);
  if (options) return { kind: "choice", ...base, options, initial: property.default ?? options[0]?.value };
  const type = Array.isArray(property.type) ? property.type.find((t) => t !== "null") : property.type;
  if (type === "integer" || type === "number") {
    return {
      kind: "number",
      ...base,
      unit: property["x-ui"]?.unit ?? "",
      min: property.minimum ?? null,
      max: property.maximum ?? null,
      step: property.multipleOf ?? (type === "integer" ? 1 : 0.1),
      initial: typeof property.default === "number" ? property.default : (property.minimum ?? null),
    };
  }
  if (type === "boolean") return { kind: "switch", ...base, initial: property.default === true };
  return {
    kind: "text",
    ...base,
    lengthMax: property.maxLength ?? null,
    initial: typeof property.default === "string" ? property.default : "",
  };
}

function optionsOf(property: JsonSchema): Option[] | null {
  if (property.enum) return property.enum.map((value) => ({ value, label: optionLabel(property, value) }));
  if (property.oneOf?.every((one) => one.const !== undefined)) {
    return property.oneOf.map((one) => ({ value: one.const, label: one.title ?? optionLabel(property, one.const) }));
  }
  return null;
}

/** The manifest's own label where it has one; else a ratio stays, and an identifier becomes words. */
function optionLabel(property: JsonSchema, value: unknown): string {
  const text = String(value);
  const given = property["x-ui"]?.labels?.[text];
  if (given) return given;
  if (typeof value === "number") return text;
  return /^\d+:\d+$/.test(text) ? text : humanise(text);
}

export function initialValues(fields: Field[]): Values {
  const values: Values = {};
  for (const field of fields) {
    if (field.kind === "asset") continue;
    if (field.initial !== null && field.initial !== "") values[field.name] = field.initial;
  }
  return values;
}

/** The input to send: the form's values, and the asset in the first field that takes one. */
export function inputOf(fields: Field[], values: Values, assetId: string): Values {
  const input: Values = {};
  const assetField = fields.find((field) => field.kind === "asset");
  for (const field of fields) {
    if (field === assetField) input[field.name] = assetId;
    else if (values[field.name] !== undefined && values[field.name] !== "") input[field.name] = values[field.name];
  }
  return input;
}

/** The first asset of a run's input, by its tool's schema or by name. */
export function assetOf(input: Record<string, unknown>): string | null {
  const value = input.image ?? input.video ?? input.asset;
  return typeof value === "string" ? value : null;
}

/** "Zoom in · 3 s · 16:9": the parameters of a take, in the schema's order. */
export function takeLabel(input: Record<string, unknown>): string {
  return Object.entries(input)
    .filter(([, value]) => value !== null && typeof value !== "object")
    .filter(([name]) => !["image", "video", "asset"].includes(name))
    .map(([name, value]) => {
      if (name === "scale" || name === "factor") return `${value}×`;
      if (name === "seconds") return `${value} s`;
      return typeof value === "string" && !/^\d+:\d+$/.test(value) ? humanise(value) : String(value);
    })
    .join(" · ");
}
