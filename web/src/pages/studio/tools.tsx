import type { Tool } from "../../api/types";
import { humanise } from "../../lib/format";

export function toolTitle(tool: Tool): string {
  return tool.label || humanise(tool.name);
}

export function toolSentence(tool: Tool): string {
  return tool.description;
}
