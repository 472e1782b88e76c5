import type { BoardPlan, StaleNode } from "../../../api/boards";
import type { BoardEdge } from "./types";

/** What can run now: what is stale, less what is faulty or is made of something faulty. */
export interface Runnable {
  nodes: readonly StaleNode[];
  /** Faults keep some of what is stale from running. */
  some: boolean;
  price_micro: number;
  run_ms: number;
}

export function runnable(plan: BoardPlan, edges: readonly BoardEdge[]): Runnable {
  if (plan.problems.length === 0)
    return { nodes: plan.stale, some: false, price_micro: plan.price_micro, run_ms: plan.run_ms };
  // A fault of the whole board, such as too many nodes.
  if (plan.problems.some((problem) => !problem.node)) return { nodes: [], some: true, price_micro: 0, run_ms: 0 };
  const bad = new Set(plan.problems.map((problem) => problem.node ?? ""));
  const leads = new Map<string, string[]>();
  for (const { from, to } of edges) leads.set(from, [...(leads.get(from) ?? []), to]);
  for (const id of bad) for (const to of leads.get(id) ?? []) bad.add(to);
  const nodes = plan.stale.filter((one) => !bad.has(one.node));
  return {
    nodes,
    some: nodes.length < plan.stale.length,
    price_micro: nodes.reduce((sum, one) => sum + one.price_micro, 0),
    run_ms: nodes.reduce((sum, one) => sum + one.run_ms, 0),
  };
}
