import type { BoardRole } from "../../api/boards";
import type { Tool } from "../../api/types";
import { capital, humanise, readable } from "../../lib/format";
import type { NodeFacts } from "./doc/facts";
import type { BoardNode, NodeKind } from "./doc/types";
import type { IconName } from "../../ui";

const ROLE_WORDS: Record<BoardRole, string> = {
  owner: "Owner",
  editor: "May edit",
  commenter: "May comment",
  viewer: "May look",
};

export function roleWord(role: BoardRole): string {
  return ROLE_WORDS[role];
}

export const KIND_WORDS: Record<NodeKind, string> = {
  image: "Picture",
  video: "Clip",
  audio: "Sound",
  prompt: "Prompt",
  tool: "Tool",
  shot: "Shot",
  note: "Note",
  group: "Group",
};

export const KIND_ICONS: Record<NodeKind, IconName> = {
  image: "image",
  video: "play",
  audio: "wave",
  prompt: "prompt",
  tool: "studio",
  shot: "shot",
  note: "note",
  group: "group",
};

const TITLE_MAX = 80;

/** What a node is called: the name that someone gave it, the tool's, or what kind of thing it is. */
export function nodeTitle(node: BoardNode | undefined, tool?: Tool): string {
  if (!node) return "Gone";
  const { name } = node.params;
  if (typeof name === "string" && name.trim()) return name.trim().slice(0, TITLE_MAX);
  if (node.kind === "tool")
    return tool?.label || (typeof node.params.tool === "string" ? humanise(node.params.tool) : "Tool");
  return KIND_WORDS[node.kind];
}

export function seconds(ms: number): string {
  return `${Math.max(1, Math.round(ms / 1_000))} s`;
}

/** How a tool's node stands, for its foot and for the panel. */
export function workWords(facts: NodeFacts): { text: string; icon: IconName | null; tone: "plain" | "live" | "bad" } {
  if (facts.work === "running") return { text: "Running", icon: "clock", tone: "live" };
  if (facts.work === "waiting") return { text: "Waiting for its turn", icon: "clock", tone: "live" };
  if (facts.problem) return { text: readable(facts.problem.message), icon: "warn", tone: "bad" };
  if (facts.work === "failed") return { text: facts.because || "Failed", icon: "warn", tone: "bad" };
  const takes = facts.takes.length;
  const count = takes === 0 ? "" : `${takes} ${takes === 1 ? "take" : "takes"}`;
  if (facts.stale)
    return { text: takes ? `Stale · ${count}` : "Not run yet", icon: takes ? "clock" : null, tone: "plain" };
  if (facts.work === "canceled") return { text: "Canceled", icon: "stop", tone: "plain" };
  return { text: count || "Not run yet", icon: takes ? "check" : null, tone: "plain" };
}

const INPUT_FAULT = /^\/input\/(\w+)\S* (.+)$/s;

/** A fault that names a field of a tool's form, for the form to show it there. */
export function inputFaults(problem: { message: string } | null): Record<string, string> {
  const [, field, words] = INPUT_FAULT.exec(problem?.message ?? "") ?? [];
  return field && words ? { [field]: capital(words) } : {};
}
