import { expect, test } from "vitest";
import { wallRows } from "./wall";

test("full rows fill the width; the last keeps the target height", () => {
  const rows = wallRows([1.5, 1.5, 1.5, 1], (ratio) => ratio, 900, 220, 4);
  expect(rows.map((row) => row.items.length)).toEqual([3, 1]);
  expect(rows[0]?.height_px).toBeCloseTo((900 - 8) / 4.5);
  expect(rows[1]?.height_px).toBe(220);
});

test("a thread of a panorama does not flatten its row", () => {
  expect(wallRows([40], (ratio) => ratio, 900, 220, 4)[0]?.height_px).toBe(220);
});
test("a row is broken where it comes nearest to the target", () => {
  const rows = wallRows([1, 1, 1, 3], (r) => r, 300, 100, 0);
  expect(rows.map((row) => `${row.items.length}@${Math.round(row.height_px)}`)).toEqual(["3@100", "1@100"]);
  const tall = wallRows([1, 1, 3], (r) => r, 366, 190, 0);
  expect(tall.map((row) => `${row.items.length}@${Math.round(row.height_px)}`)).toEqual(["2@183", "1@122"]);
  const early = wallRows([1.9, 1.9, 1], (r) => r, 366, 190, 0);
  expect(early.map((row) => row.items.length)).toEqual([1, 1, 1]);
});
