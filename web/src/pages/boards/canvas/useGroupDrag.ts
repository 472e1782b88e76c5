import { useCallback, useRef } from "react";
import { useOpen } from "../context";
import type { BoardNode } from "../doc/types";
import type { FlowNode } from "./flow";

/** What lies inside of a group moves with it. */
export function useGroupDrag() {
  const { board } = useOpen();
  const inside = useRef<{ group: FlowNode; from: { x: number; y: number }; nodes: readonly BoardNode[] } | null>(null);
  const start = useCallback(
    (_event: unknown, node: FlowNode, all: FlowNode[]) => {
      board.step();
      const dragged = new Set(all.map((one) => one.id));
      inside.current =
        node.type === "group"
          ? {
              group: node,
              from: { ...node.position },
              nodes: within(board.nodes, node).filter((one) => !dragged.has(one.id)),
            }
          : null;
    },
    [board],
  );
  const move = useCallback(
    (_event: unknown, node: FlowNode) => {
      const moving = inside.current;
      if (!moving || moving.group.id !== node.id) return;
      const dx = node.position.x - moving.from.x;
      const dy = node.position.y - moving.from.y;
      board.place(moving.nodes.map((one) => ({ id: one.id, x: one.x + dx, y: one.y + dy })));
    },
    [board],
  );
  const stop = useCallback(
    (event: unknown, node: FlowNode) => {
      move(event, node);
      inside.current = null;
      board.step();
    },
    [board, move],
  );
  return { start, move, stop };
}

function within(nodes: readonly BoardNode[], group: FlowNode): BoardNode[] {
  const { x, y } = group.position;
  const right = x + (group.width ?? 0);
  const bottom = y + (group.height ?? 0);
  return nodes.filter(
    (node) =>
      node.id !== group.id && node.x >= x && node.y >= y && node.x + node.w <= right && node.y + node.h <= bottom,
  );
}
