import type { BoardNode } from "./types";

const BELOW_PX = 48;

/** The first place at or below `from` where something of this size covers no other node. Groups are grounds, not covers. */
export function freeBelow(
  nodes: readonly BoardNode[],
  from: { x: number; y: number },
  size: { w: number; h: number },
): { x: number; y: number } {
  const { x } = from;
  let { y } = from;
  const covers = (node: BoardNode) =>
    node.kind !== "group" && node.x < x + size.w && x < node.x + node.w && node.y < y + size.h && y < node.y + node.h;
  for (let hit = nodes.find(covers); hit; hit = nodes.find(covers)) y = hit.y + hit.h + BELOW_PX;
  return { x, y };
}
