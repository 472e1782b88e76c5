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
