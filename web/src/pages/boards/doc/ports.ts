import type { JsonSchema, Tool } from "../../../api/types";
import { humanise } from "../../../lib/format";
import type { BoardNode } from "./types";

/** What flows along an edge. */
export type Media = "image" | "video" | "audio" | "text";

export interface Port {
  name: string;
  label: string;
  takes: readonly Media[];
  required: boolean;
}

export const OUT = "out";

const MEDIA_WORD: Record<Media, string> = { image: "picture", video: "clip", audio: "sound", text: "text" };

export function mediaWord(media: readonly Media[]): string {
  return media.map((one) => MEDIA_WORD[one]).join(" or ");
}

export function mediaOf(contentType: string): Media | null {
  const kind = contentType.split("/")[0];
  return kind === "image" || kind === "video" || kind === "audio" || kind === "text" ? kind : null;
}

const SHOT_PORTS: readonly Port[] = [
  { name: "in", label: "Picture, clip or sound", takes: ["image", "video", "audio"], required: true },
];
const NO_PORTS: readonly Port[] = [];
const perTool = new WeakMap<Tool, readonly Port[]>();

/** What can be led into a node. A tool's ports are the fields of its input that take media or free text. */
export function inputsOf(node: BoardNode, tool: Tool | undefined): readonly Port[] {
  if (node.kind === "shot") return SHOT_PORTS;
  if (node.kind !== "tool" || !tool) return NO_PORTS;
  let ports = perTool.get(tool);
  if (!ports) {
    ports = portsOf(tool.input);
    perTool.set(tool, ports);
  }
  return ports;
}

export function portsOf(schema: JsonSchema): readonly Port[] {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const takes = takesOf(property);
    return takes.length ? [{ name, label: property.title ?? humanise(name), takes, required: required.has(name) }] : [];
  });
}

function takesOf(property: JsonSchema & { "x-asset"?: { content_types?: string[] } }): Media[] {
  if (property.format === "asset") {
    const types = property["x-asset"]?.content_types ?? ["image/*", "video/*", "audio/*"];
    return [...new Set(types.flatMap((type) => mediaOf(type) ?? []))];
  }
  const isText = property.type === "string" && !property.enum && !property.oneOf && !property.format;
  return isText ? ["text"] : [];
}

/** Whether something can be led out of a node, also before anyone knows what. */
export function hasOutput(node: BoardNode, tool: Tool | undefined): boolean {
  return node.kind === "shot" || outputOf(node, tool) !== null;
}

/** What comes out of a node by its own kind; null where nothing does. A shot passes on what comes in. */
export function outputOf(node: BoardNode, tool: Tool | undefined): Media | null {
  switch (node.kind) {
    case "image":
    case "video":
    case "audio":
      return node.kind;
    case "prompt":
      return "text";
    case "tool":
      return tool ? toolMakes(tool) : null;
    default:
      return null;
  }
}

export function toolMakes(tool: Tool): Media | null {
  const types = (tool.output as { content_types?: unknown }).content_types;
  return Array.isArray(types) && typeof types[0] === "string" ? mediaOf(types[0]) : null;
}

/** Why the one cannot be led into the other, or null. */
export function refusal(makes: Media | null, port: Port | undefined): string | null {
  if (!port) return "Nothing can be led in there";
  if (!makes) return "Nothing comes out of this";
  if (port.takes.includes(makes)) return null;
  return `${port.label} takes a ${mediaWord(port.takes)}; this makes a ${MEDIA_WORD[makes]}`.replace(
    /\ba text\b/g,
    "text",
  );
}

/** The port that a connection lands on when it is dropped on the node: the first free one that takes it. */
export function landing(makes: Media | null, ports: readonly Port[], taken: ReadonlySet<string>): Port | undefined {
  const fit = ports.filter((port) => makes !== null && port.takes.includes(makes));
  return fit.find((port) => !taken.has(port.name)) ?? fit[0];
}
