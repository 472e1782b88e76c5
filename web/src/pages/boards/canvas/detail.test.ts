import { expect, test } from "vitest";
import { wanted } from "./detail";

const at = (id: string, x: number, y: number) => ({ id, x, y, w: 100, h: 100 });
const view = { x: 0, y: 0, zoom: 1, width: 1_000, height: 1_000 };

test("what is in sight wants detail, the middle of the window first", () => {
  expect(wanted([at("corner", 0, 0), at("middle", 450, 450), at("away", 9_000, 0)], view)).toEqual([
    "middle",
    "corner",
  ]);
});

test("what is just outside of the window wants it too", () => {
  expect(wanted([at("beside", 1_200, 500), at("beyond", 1_500, 500)], view)).toEqual(["beside"]);
});

test("where the window stands counts, and how near one is", () => {
  expect(wanted([at("one", 5_000, 5_000)], { ...view, x: -5_000, y: -5_000 })).toEqual(["one"]);
  expect(wanted([at("one", 1_500, 500)], { ...view, zoom: 0.5 })).toEqual(["one"]);
});

test("from afar nothing does, and nothing in a window without a size", () => {
  expect(wanted([at("one", 0, 0)], { ...view, zoom: 0.39 })).toEqual([]);
  expect(wanted([at("one", 0, 0)], { ...view, width: 0 })).toEqual([]);
});
