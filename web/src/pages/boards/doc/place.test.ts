import { expect, test } from "vitest";
import { freeBelow } from "./place";
import type { BoardNode, NodeKind } from "./types";

const node = (kind: NodeKind, x: number, y: number): BoardNode => ({
  id: `${x},${y}`,
  kind,
  x,
  y,
  w: 280,
  h: 190,
  params: {},
  chosenTake: null,
});
const SIZE = { w: 220, h: 140 };

test("what is put down covers nothing, and stays where there is room", () => {
  const nodes = [node("note", 0, 0), node("note", 0, 238)];
  expect(freeBelow(nodes, { x: 40, y: 20 }, SIZE)).toEqual({ x: 40, y: 476 });
  expect(freeBelow(nodes, { x: 400, y: 20 }, SIZE)).toEqual({ x: 400, y: 20 });
});

test("a group is a ground: things lie in it", () => {
  expect(freeBelow([node("group", 0, 0)], { x: 10, y: 10 }, SIZE)).toEqual({ x: 10, y: 10 });
});
