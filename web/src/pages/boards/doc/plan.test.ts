import { expect, test } from "vitest";
import type { BoardPlan } from "../../../api/boards";
import { runnable } from "./plan";

const edge = (from: string, to: string) => ({ id: from + to, from, fromPort: "out", to, toPort: "image" });
const plan = (stale: string, bad: (string | null)[]): BoardPlan => ({
  revision: 1,
  stale: stale
    .split(" ")
    .map((node) => ({ node, tool: "upscale", version: "1", price_micro: 10, run_ms: 100, estimated: false })),
  price_micro: 99,
  run_ms: 999,
  problems: bad.map((node) => ({ node, edge: null, code: "board_input_missing", message: "missing" })),
});
const EDGES = [edge("a", "b"), edge("b", "c"), edge("d", "e")];

test("without a fault all of it runs, at the server's own sum", () => {
  expect(runnable(plan("b c e", []), EDGES)).toMatchObject({ some: false, price_micro: 99, run_ms: 999 });
});

test("a fault keeps back what is made of it, and nothing else", () => {
  const run = runnable(plan("b c e", ["a"]), EDGES);
  expect(run.nodes.map((one) => one.node)).toEqual(["e"]);
  expect(run).toMatchObject({ some: true, price_micro: 10, run_ms: 100 });
});

test("a circle of faults ends", () => {
  expect(runnable(plan("b c", ["b"]), [edge("b", "c"), edge("c", "b")]).nodes).toEqual([]);
});

test("a fault of the whole board stops all of it", () => {
  expect(runnable(plan("b", [null]), EDGES).nodes).toEqual([]);
});
