import { expect, test } from "vitest";
import type { Run } from "../api/types";
import { isOver, moneySentence, progressBeside, progressOf, startEstimate, STEPS } from "./phases";

const run = (change: Partial<Run>): Run => ({
  id: "r1",
  tool: "upscale",
  version: "1.0.0",
  state: "running",
  phase: "running",
  progress: null,
  progress_note: null,
  preview: null,
  position: null,
  start_p50_ms: null,
  start_p90_ms: null,
  input: {},
  price_micro: 170_000,
  price_lines: [],
  held_micro: 170_000,
  settled_micro: null,
  failure: null,
  outputs: [],
  job_id: "r1",
  actor_id: "u1",
  project_id: null,
  mandate_id: null,
  created_at: "2026-11-23T10:00:00Z",
  started_at: null,
  cancel_requested_at: null,
  deadline: null,
  ended_at: null,
  settled_at: null,
  ...change,
});

test("a bar has a length only where somebody measured it", () => {
  expect(progressOf(run({ progress: 0.43, progress_note: "tile 3 of 7" }))).toEqual({
    word: "Running",
    detail: "43 % · tile 3 of 7",
    step: 3,
    fraction: 0.43,
  });
  expect(progressOf(run({ phase: "loading" })).fraction).toBeNull();
});

test("the queue says the place and when it may start", () => {
  const queued = run({ state: "queued", phase: "queued", position: 2, start_p50_ms: 4_000, start_p90_ms: 11_000 });
  expect(progressOf(queued).detail).toBe("place 3 · starts in about 4 s, 9 in 10 within 11 s");
});

test("a cancel that is not confirmed is not called canceled", () =>
  expect(progressOf(run({ state: "canceling" })).word).toBe("Stopping"));

test("what has no phase yet waits", () => {
  expect(progressOf(run({ state: "queued", phase: null }))).toMatchObject({ word: "Queued", detail: "", step: 0 });
});

test("what came out is past every step while it is looked at; what goes in is before them", () => {
  const started_at = "2026-11-23T10:00:01Z";
  expect(progressOf(run({ phase: "checking", started_at })).step).toBe(STEPS.length);
  expect(progressOf(run({ phase: "checking" })).step).toBe(-1);
  expect(progressOf(run({ phase: "reviewing", started_at }))).toMatchObject({
    word: "Waits for a person",
    step: STEPS.length,
    fraction: null,
  });
});

test("nothing is said twice beside the state", () => {
  expect(progressBeside(run({ phase: "checking" }))).toBe("");
  expect(progressBeside(run({ state: "queued", phase: "queued", position: 0 }))).toBe("next");
  expect(progressBeside(run({ phase: "loading" }))).toBe("Loading the model");
  expect(progressBeside(run({ phase: "reviewing" }))).toMatch(/^the safety model/);
});

test("a run that is stopping is not over", () => {
  expect(isOver(run({ state: "canceling" }))).toBe(false);
  expect(isOver(run({ state: "refused" }))).toBe(true);
});

test.each([
  [run({}), "0.17 credits held until it ends"],
  [run({ state: "succeeded", settled_micro: 170_000 }), "0.17 credits charged"],
  [run({ state: "canceled", settled_micro: 50_000 }), "0.05 credits charged, 0.12 returned"],
  [run({ state: "failed", settled_micro: 0 }), "nothing charged"],
])("money in one sentence: %#", (of, sentence) => expect(moneySentence(of)).toBe(sentence));

test("a close p90 is not worth a second number", () => {
  expect(startEstimate(100, 300)).toBe("starts at once");
  expect(startEstimate(null, null)).toBe("");
});
