import { expect, test } from "vitest";
import { finalAndOpen, segments, ticks } from "./scale";

test.each([
  [9, [0, 5, 10]],
  [7, [0, 2, 4, 6, 8]],
  [0.3, [0, 0.1, 0.2, 0.3]],
  [0, [0, 1]],
])("ticks up to %d are round", (max, expected) => expect(ticks(max, 4)).toEqual(expected));

test("an undefined day breaks the line and is never a zero", () => {
  expect(
    segments([
      { x: 0, y: 1 },
      { x: 1, y: null },
      { x: 2, y: 3 },
    ]),
  ).toEqual([[{ x: 0, y: 1 }], [{ x: 2, y: 3 }]]);
});

test("the open part starts where the final one ends", () => {
  const placed = [0, 1, 2].map((x) => ({ x, y: x }));
  const parts = finalAndOpen([{ complete: true }, { complete: true }, { complete: false }], placed);
  expect(parts.final.map((point) => point.x)).toEqual([0, 1]);
  expect(parts.open.map((point) => point.x)).toEqual([1, 2]);
});
