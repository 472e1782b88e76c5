import type { Mandate } from "../api/types";
import { credits, creditWord, date, humanise, listOf } from "./format";

/** What actions mean to a person. A pattern that is not here is shown as it is written. */
const WORDS: Record<string, string> = {
  "*": "do everything",
  "tools.*": "run tools",
  "tools.run": "run tools",
  "assets.*": "bring in, see and delete pictures",
  "assets.read": "see pictures",
  "projects.*": "see and begin projects",
  "projects.read": "see projects",
  "members.*": "invite and remove members",
  "billing.read": "see the bills",
  "billing.*": "see the bills and change the plan",
};

/** What one can give, the usual first. */
export const GIVABLE: readonly string[] = ["tools.run", "assets.*", "projects.read", "members.*", "billing.read"];

export function actionWords(pattern: string): string {
  return WORDS[pattern] ?? pattern;
}

type Given = Pick<Mandate, "actions" | "tools" | "max_unit_price_micro" | "depth_max" | "expires_at"> & {
  envelope: Pick<Mandate["envelope"], "amount_micro" | "mode" | "period">;
};

/**
 * What a mandate allows, as one sentence that can be read aloud after the holder's name:
 * "may run tools with 120 credits set aside, only upscale, at most 1 credit at a time, until 3 Dec 2026".
 */
export function mandateSentence(mandate: Given, projectName: string | null): string {
  const parts = [
    `may ${listOf(usualFirst(mandate.actions).map(actionWords)) || "do nothing"}`,
    envelopeWords(mandate.envelope),
    projectName ? `in ${projectName}` : "",
  ].filter(Boolean);
  const limits = [
    mandate.tools?.length ? `only with ${listOf(mandate.tools.map((tool) => humanise(tool).toLowerCase()))}` : "",
    mandate.max_unit_price_micro !== null
      ? `at most ${credits(mandate.max_unit_price_micro)} ${creditWord(mandate.max_unit_price_micro)} at a time`
      : "",
    mandate.depth_max > 0 ? onward(mandate.depth_max) : "",
    mandate.expires_at ? `until ${date(mandate.expires_at)}` : "",
  ].filter(Boolean);
  return [parts.join(" "), ...limits].join(", ");
}

function usualFirst(patterns: string[]): string[] {
  const place = (pattern: string) => (GIVABLE.includes(pattern) ? GIVABLE.indexOf(pattern) : GIVABLE.length);
  return patterns.toSorted((a, b) => place(a) - place(b));
}

function envelopeWords(envelope: Given["envelope"]): string {
  if (!envelope.amount_micro) return "";
  const amount = credits(envelope.amount_micro);
  if (envelope.mode === "transfer") return `with ${amount} credits set aside`;
  const period = envelope.period !== "life" ? ` a ${envelope.period}` : "";
  return `with up to ${amount} credits${period}, shared`;
}

function onward(depth: number): string {
  return depth === 1 ? "and may hand it on once" : `and may hand it on ${depth} levels deep`;
}

export interface Node {
  mandate: Mandate;
  /** It and everything above it is in force. */
  live: boolean;
  children: Node[];
}

/** The tree of a flat list; a mandate whose parent one does not see is a root here. */
export function mandateTree(items: Mandate[]): Node[] {
  const ids = new Set(items.map((one) => one.id));
  const build = (parent: string | null, parentLives: boolean): Node[] =>
    items
      .filter((one) => (parent === null ? !one.parent_id || !ids.has(one.parent_id) : one.parent_id === parent))
      .map((mandate) => {
        const live = parentLives && mandate.state === "active";
        return { mandate, live, children: build(mandate.id, live) };
      });
  return build(null, true);
}

/** Everything below that still lives. */
export function countBelow(node: Node): number {
  return node.children.reduce((sum, child) => sum + (child.live ? 1 : 0) + countBelow(child), 0);
}

export function countEnded(nodes: Node[]): number {
  return nodes.reduce((sum, node) => sum + (node.live ? 0 : 1) + countEnded(node.children), 0);
}
