import { expect, test } from "vitest";
import type { BoardRun, Take } from "../../../api/boards";
import type { Tool } from "../../../api/types";
import { Board } from "./board";
import { Facts } from "./facts";

const TOOL = { name: "animate", input: {}, output: { content_types: ["video/mp4"] } } as unknown as Tool;
const take = (id: string, node: string, at: number, more: Partial<Take> = {}): Take => ({
  id,
  node,
  run_id: `run-${id}`,
  tool: "animate",
  version: "1",
  content_type: "video/mp4",
  width: 320,
  height: 180,
  status: "succeeded",
  preview_url: null,
  media_url: null,
  value: null,
  input_hash: "h",
  asset: `asset-${id}`,
  cost_micro: 1,
  duration_ms: 0,
  seed: null,
  stale: false,
  created_at: `2026-11-23T10:00:0${at}Z`,
  ...more,
});
const told = (takes: Take[]) => ({ tools: new Map([["animate", TOOL]]), takes, runs: [], plan: null });

function scene() {
  const board = new Board();
  const facts = new Facts(board);
  const tool = board.addNode({ kind: "tool", x: 0, y: 0, params: { tool: "animate" } });
  const shot = board.addNode({ kind: "shot", x: 400, y: 0 });
  board.connect(tool, "out", shot, "in");
  return { board, facts, tool, shot };
}

test("a shot shows the take that was chosen of what feeds it, else the newest good one", () => {
  const { board, facts, tool, shot } = scene();
  facts.tell(told([take("a", tool, 1), take("b", tool, 2), take("c", tool, 3, { asset: null })]));
  expect(facts.of(shot)).toMatchObject({ asset: "asset-b", makes: "video" });
  board.chooseTake(tool, "a");
  expect(facts.of(shot).asset).toBe("asset-a");
});

test("facts stay the same object while nothing changes for their node", () => {
  const { board, facts, tool, shot } = scene();
  facts.tell(told([take("a", tool, 1)]));
  const before = facts.of(shot);
  board.place([{ id: tool, x: 70 }]);
  facts.tell(told([take("a", tool, 1)]));
  expect(facts.of(shot)).toBe(before);
});

test("the newest run says how a node stands; a run that is over leaves nobody waiting", () => {
  const { facts, tool } = scene();
  const run = (state: "running" | "failed", child: string): BoardRun => ({
    id: state + child,
    board_id: "b",
    actor_id: "u",
    revision: 1,
    budget_micro: 1,
    cancel_requested_at: null,
    state,
    price_micro: 1,
    settled_micro: 0,
    created_at: "",
    ended_at: null,
    children: [
      {
        node: tool,
        tool: "animate",
        run_id: "r",
        take_id: null,
        state: child,
        price_micro: 1,
        settled_micro: 0,
        failure: null,
      },
    ],
    kind: "nodes",
    asset_id: null,
    seconds: null,
    otio_url: null,
  });
  facts.tell({ ...told([]), runs: [run("running", "running")] });
  expect(facts.of(tool)).toMatchObject({ work: "running" });
  facts.tell({ ...told([]), runs: [run("failed", "queued"), run("running", "running")] });
  expect(facts.of(tool).work).toBe("idle");
});
