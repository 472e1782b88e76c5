import {
  isOverBoardRun,
  type BoardPlan,
  type BoardRun,
  type BoardRunChild,
  type PlanProblem,
  type StaleNode,
  type Take,
} from "../../../api/boards";
import type { Tool } from "../../../api/types";
import type { Board } from "./board";
import { outputOf, type Media } from "./ports";
import type { BoardNode } from "./types";

export type Work = "idle" | "waiting" | "running" | "failed" | "canceled";

/** What the server knows about a node, beside what the document says. The same object until something changes. */
export interface NodeFacts {
  readonly makes: Media | null;
  /** What the node shows: its own media, or the take that was chosen, or the newest one. */
  readonly asset: string | null;
  readonly takes: readonly Take[];
  readonly shown: Take | null;
  readonly stale: StaleNode | null;
  readonly problem: PlanProblem | null;
  readonly work: Work;
  readonly because: string | null;
  readonly runId: string | null;
}

export interface Told {
  tools: ReadonlyMap<string, Tool>;
  takes: readonly Take[];
  runs: readonly BoardRun[];
  plan: BoardPlan | null;
}

const NOTHING: NodeFacts = {
  makes: null,
  asset: null,
  takes: [],
  shown: null,
  stale: null,
  problem: null,
  work: "idle",
  because: null,
  runId: null,
};
const CHAIN_MAX = 64;
const NO_TAKES: readonly Take[] = [];

/** Joins the document with what the server told, for each node, and keeps what did not change identical. */
export class Facts {
  private told: Told = { tools: new Map(), takes: [], runs: [], plan: null };
  private byNode = new Map<string, NodeFacts>();
  private takesOf = new Map<string, readonly Take[]>();
  private readonly listeners = new Set<() => void>();
  private readonly release: () => void;
  private seen: readonly unknown[] = [];

  constructor(private readonly board: Board) {
    this.release = board.subscribe(() => this.refresh());
  }

  destroy(): void {
    this.release();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  of = (id: string): NodeFacts => this.byNode.get(id) ?? NOTHING;

  tool(node: BoardNode | undefined): Tool | undefined {
    return typeof node?.params.tool === "string" ? this.told.tools.get(node.params.tool) : undefined;
  }

  /** Rises with every change of any node's facts. */
  version = 0;

  /** Another object once the tools are others. */
  get toolsKnown(): ReadonlyMap<string, Tool> {
    return this.told.tools;
  }

  tell(told: Told): void {
    this.told = told;
    this.takesOf = group(told.takes, this.takesOf);
    this.refresh();
  }

  private refresh(): void {
    const { nodes, edges } = this.board;
    const now = [nodes, edges, this.told] as const;
    if (now.every((one, index) => one === this.seen[index])) return;
    this.seen = now;
    const work = workOf(this.told.runs);
    const stale = new Map(this.told.plan?.stale.map((one) => [one.node, one]));
    const problems = new Map(this.told.plan?.problems.flatMap((one) => (one.node ? [[one.node, one] as const] : [])));
    const feeds = new Map<string, string>();
    for (const edge of edges) if (!feeds.has(edge.to)) feeds.set(edge.to, edge.from);
    const next = new Map<string, NodeFacts>();
    for (const node of nodes) {
      const facts = {
        ...this.shownBy(node, feeds),
        ...(work.get(node.id) ?? { work: "idle" as const, because: null, runId: null }),
        stale: stale.get(node.id) ?? null,
        problem: problems.get(node.id) ?? null,
      };
      const before = this.byNode.get(node.id);
      next.set(node.id, before && same(before, facts) ? before : facts);
    }
    this.byNode = next;
    this.version += 1;
    for (const listener of this.listeners) listener();
  }

  private shownBy(
    node: BoardNode,
    feeds: ReadonlyMap<string, string>,
    depth = 0,
  ): Pick<NodeFacts, "makes" | "asset" | "takes" | "shown"> {
    const makes = outputOf(node, this.tool(node));
    if (node.kind === "tool") {
      const takes = this.takesOf.get(node.id) ?? NO_TAKES;
      const good = takes.filter((take) => take.asset !== null);
      const shown = good.find((take) => take.id === node.chosenTake) ?? good[0] ?? null;
      return { makes, asset: shown?.asset ?? null, takes, shown };
    }
    if (node.kind === "shot" && depth < CHAIN_MAX) {
      const from = this.board.node(feeds.get(node.id) ?? "");
      if (!from) return { makes: null, asset: null, takes: NO_TAKES, shown: null };
      const { makes: fed, asset, shown } = this.shownBy(from, feeds, depth + 1);
      return { makes: fed, asset, takes: NO_TAKES, shown };
    }
    const { asset } = node.params;
    return { makes, asset: typeof asset === "string" && asset ? asset : null, takes: NO_TAKES, shown: null };
  }
}

type Working = Pick<NodeFacts, "work" | "because" | "runId">;

/** The newest run that touched a node says how it stands with it. */
function workOf(runs: readonly BoardRun[]): Map<string, Working> {
  const work = new Map<string, Working>();
  for (const run of runs) {
    for (const child of run.children) if (!work.has(child.node)) work.set(child.node, working(run, child));
  }
  return work;
}

function working(run: BoardRun, child: BoardRunChild): Working {
  const over = isOverBoardRun(run);
  const base = { because: null, runId: child.run_id };
  switch (child.state) {
    case "succeeded":
      return { ...base, work: "idle" };
    case "failed":
    case "refused":
    case "expired":
      return { ...base, work: "failed", because: child.failure?.message ?? null };
    case "canceled":
      return { ...base, work: "canceled" };
    case "running":
      return { ...base, work: over ? "idle" : "running" };
    default:
      return { ...base, work: over ? "idle" : "waiting" };
  }
}

/** Newest first, and the same list for a node whose takes did not change. */
function group(takes: readonly Take[], before: ReadonlyMap<string, readonly Take[]>): Map<string, readonly Take[]> {
  const grouped = new Map<string, Take[]>();
  for (const take of takes) {
    const list = grouped.get(take.node);
    if (list) list.push(take);
    else grouped.set(take.node, [take]);
  }
  const kept = new Map<string, readonly Take[]>();
  for (const [node, list] of grouped) {
    list.sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.id < b.id ? 1 : -1));
    const old = before.get(node);
    const unchanged = old?.length === list.length && old.every((take, index) => same(take, list[index]));
    kept.set(node, unchanged ? old : list);
  }
  return kept;
}

function same(a: object, b: object | undefined): boolean {
  const left = Object.entries(a);
  return b !== undefined && left.every(([name, value]) => equal(value, (b as Record<string, unknown>)[name]));
}

/** The server's answers are new objects each time: those count as equal when they say the same. */
function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || Array.isArray(a)) return false;
  return same(a, b);
}
