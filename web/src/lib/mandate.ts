import type { Mandate } from "../api/types";
import { credits, creditWord, date, humanise, listOf } from "./format";

/** What actions mean to a person. A pattern that is not here is shown as it is written. */
export const ACTIONS: readonly { pattern: string; words: string }[] = [
  { pattern: "tools.run", words: "run tools" },
  { pattern: "assets.*", words: "bring in, see and delete pictures" },
  { pattern: "mandates.give", words: "give parts of this to others" },
  { pattern: "members.*", words: "invite and remove members" },
];

export function actionWords(pattern: string): string {
  if (pattern === "*") return "do everything";
  return ACTIONS.find((one) => one.pattern === pattern)?.words ?? pattern;
}

type Given = Pick<Mandate, "actions" | "tools" | "max_unit_price_micro" | "envelope" | "depth_max" | "expires_at">;

/**
 * What a mandate allows, as one sentence that can be read aloud after the holder's name:
 * "may run tools with 120 credits set aside, only upscale, at most 1 credit at a time, until 3 Dec 2026".
 */
export function mandateSentence(mandate: Given, projectName: string | null): string {
  const parts = [
    `may ${listOf(mandate.actions.map(actionWords)) || "do nothing"}`,
    envelopeWords(mandate.envelope),
    projectName ? `in ${projectName}` : "",
  ].filter(Boolean);
  const limits = [
    mandate.tools?.length ? `only with ${listOf(mandate.tools.map((tool) => humanise(tool).toLowerCase()))}` : "",
    mandate.max_unit_price_micro !== null ? `at most ${credits(mandate.max_unit_price_micro)} ${creditWord(mandate.max_unit_price_micro)} at a time` : "",
    mandate.depth_max > 0 ? onward(mandate.depth_max) : "",
    mandate.expires_at ? `until ${date(mandate.expires_at)}` : "",
  ].filter(Boolean);
  return [parts.join(" "), ...limits].join(", ");
}

function envelopeWords(envelope: Mandate["envelope"]): string {
  if (!envelope || !envelope.amount_micro) return "";
  const amount = credits(envelope.amount_micro);
  if (envelope.mode === "transfer") return `with ${amount} credits set aside`;
  const period = envelope.period && envelope.period !== "life" ? ` a ${envelope.period}` : "";
  return `with up to ${amount} credits${period}, shared`;
}

function onward(depth: number): string {
  return depth === 1 ? "and may hand it on once" : `and may hand it on ${depth} levels deep`;
}

export interface Node {
  mandate: Mandate;
  children: Node[];
}

/** A tree from a flat list or from one that is nested already; a mandate whose parent is not seen is a root here. */
export function mandateTree(items: Mandate[]): Node[] {
  const flat = items.flatMap(flatten);
  const ids = new Set(flat.map((one) => one.id));
  const build = (parent: string | null): Node[] =>
    flat
      .filter((one) => (parent === null ? !one.parent_id || !ids.has(one.parent_id) : one.parent_id === parent))
      .map((mandate) => ({ mandate, children: build(mandate.id) }));
  return build(null);
}

function flatten(mandate: Mandate): Mandate[] {
  return [mandate, ...(mandate.children ?? []).flatMap(flatten)];
}

export function countBelow(node: Node): number {
  return node.children.reduce((sum, child) => sum + (isLive(child.mandate) ? 1 : 0) + countBelow(child), 0);
}

export function isLive(mandate: Mandate): boolean {
  return mandate.state === "active" || mandate.state === "live";
}
