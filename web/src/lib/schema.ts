import type { JsonSchema } from "../api/types";
import { humanise, plural } from "./format";

/** One field of a form, made from one property of a tool's input schema. */
export type Field =
  | AssetField
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
      /** One line is enough for it. */
      line: boolean;
      initial: string;
    };

/** A field that takes a piece of media. `accepts` holds content types; empty: any. */
export interface AssetField {
  kind: "asset";
  name: string;
  label: string;
  help: string;
  required: boolean;
  accepts: string[];
}

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

const LINE_CHARS_MAX = 80;
const ORDER_LAST = 1_000;

function fieldOf(name: string, property: JsonSchema, required: boolean): Field {
  const base = { name, label: property.title ?? humanise(name), help: property.description ?? "", required };
  if (property.format === "asset") {
    return { kind: "asset", ...base, accepts: property["x-asset"]?.content_types ?? [] };
  }
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
    line: property["x-ui"]?.widget === "text" || (property.maxLength ?? Infinity) <= LINE_CHARS_MAX,
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

export type MediaKind = "image" | "video" | "audio";

/** The kinds of media that a field takes, in the order in which its tool names them. */
export function mediaOf(field: AssetField): MediaKind[] {
  if (field.accepts.length === 0) return ["image", "video", "audio"];
  const kinds = field.accepts.map((type) => type.split("/")[0]);
  return (["image", "video", "audio"] as const).filter((kind) => kinds.includes(kind));
}

export function takes(field: AssetField, contentType: string): boolean {
  return field.accepts.length === 0 || field.accepts.includes(contentType);
}

/** The field that what is on the stage goes into: the first that takes such media, else the first of all. */
export function stageField(fields: Field[], contentType: string | null): AssetField | null {
  const assets = fields.filter((field): field is AssetField => field.kind === "asset");
  return assets.find((field) => contentType !== null && takes(field, contentType)) ?? assets[0] ?? null;
}

/** Whether a tool cannot run before a piece of media is on the stage. */
export function needsAsset(schema: JsonSchema): boolean {
  return fieldsOf(schema).some((field) => field.kind === "asset" && field.required);
}

/** The input to send: the form's values, and what is on the stage in the field that takes it. */
export function inputOf(
  fields: Field[],
  values: Values,
  assetId: string | null,
  contentType: string | null = null,
): Values {
  const input: Values = {};
  const stage = assetId === null ? null : stageField(fields, contentType);
  for (const field of fields) {
    if (field === stage) input[field.name] = assetId;
    else if (values[field.name] !== undefined && values[field.name] !== "") input[field.name] = values[field.name];
  }
  return input;
}

/** What is still missing before it can run, in words; null where nothing is. */
export function missing(fields: Field[], input: Values): string | null {
  for (const field of fields) {
    if (!field.required || (input[field.name] !== undefined && input[field.name] !== "")) continue;
    if (field !== stageField(fields, null) || field.kind !== "asset") return `“${field.label}” is still empty`;
    const kind = mediaOf(field)[0] ?? "image";
    return { image: "Choose a photograph first", video: "Choose a clip first", audio: "Choose a sound first" }[kind];
  }
  return null;
}

/** The assets of a run's input, those under the usual names first. */
export function assetsOf(input: Record<string, unknown>): string[] {
  const named = [input.image, input.video, input.asset, ...Object.values(input)].filter(isId) as string[];
  return [...new Set(named)];
}

/** The first asset of a run's input. */
export function assetOf(input: Record<string, unknown>): string | null {
  return assetsOf(input)[0] ?? null;
}

/** "Zoom in · 3 s · 16:9": the parameters of a take, in the schema's order. */
export function takeLabel(input: Record<string, unknown>): string {
  if (Array.isArray(input.clips)) {
    const size = typeof input.width === "number" && typeof input.height === "number" ? [input.width, input.height] : [];
    return [plural(input.clips.length, "clip", "clips"), size.join(" × ")].filter(Boolean).join(" · ");
  }
  return Object.entries(input)
    .filter(([, value]) => value !== null && typeof value !== "object")
    .filter(([name, value]) => !["image", "video", "asset"].includes(name) && !isId(value))
    .map(([name, value]) => {
      if (name === "scale" || name === "factor") return `${value}×`;
      if (name === "seconds") return `${value} s`;
      if (typeof value === "number") return `${humanise(name)} ${value}`;
      if (typeof value === "boolean") return value ? humanise(name) : `${humanise(name)} off`;
      if (typeof value === "string" && value.length > WORDS_MAX) return `${value.slice(0, WORDS_MAX).trimEnd()}…`;
      return typeof value === "string" && !/^\d+:\d+$/.test(value) ? humanise(value) : String(value);
    })
    .join(" · ");
}

/** So much of a text names a take. */
const WORDS_MAX = 40;

function isId(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(value);
}
