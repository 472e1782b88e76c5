import { applyNodeChanges, type EdgeChange, type NodeChange } from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useEdges, useNodes, useOpen, useSelected } from "../context";
import { placed, toFlowEdges, toFlowNodes, type FlowEdge, type FlowNode } from "./flow";

/** How often the others see a node move while it is dragged. */
const SHOW_DRAG_MS = 50;

/**
 * React Flow's nodes and edges out of the document. What is being dragged here is drawn from the pointer and written to
 * the document a few times a second; everything else is drawn from the document.
 */
export function useFlow() {
  const { board, facts } = useOpen();
  const nodes = useNodes();
  const edges = useEdges();
  // Facts know when the tools arrive; ports hang on them.
  const told = useSyncExternalStore(facts.subscribe, () => facts.toolsKnown);
  const { selected } = useSelected();
  const [selectedEdges, setSelectedEdges] = useState<ReadonlySet<string>>(new Set());
  const chosen = useMemo(() => new Set(selected), [selected]);

  const nodeCache = useRef<ReturnType<typeof toFlowNodes>>(new Map());
  const edgeCache = useRef<ReturnType<typeof toFlowEdges>>(new Map());
  const [dragged, setDragged] = useState<readonly FlowNode[]>([]);
  const flowNodes = useMemo(() => {
    nodeCache.current = toFlowNodes(nodes, facts, nodeCache.current, chosen);
    const moving = new Map(dragged.map((node) => [node.id, node]));
    return [...nodeCache.current.values()].map(({ flow }) => {
      const drawn = moving.get(flow.id);
      return drawn ? { ...flow, position: drawn.position, style: placed(drawn.position), dragging: true } : flow;
    });
  }, [nodes, facts, chosen, dragged, told]);
  const flowEdges = useMemo(() => {
    edgeCache.current = toFlowEdges(edges, board, facts, edgeCache.current, selectedEdges);
    return [...edgeCache.current.values()];
  }, [edges, board, facts, selectedEdges, told]);

  const write = useDragWriter(setDragged);
  const shown = useRef(flowNodes);
  shown.current = flowNodes;
  const onNodesChange = useSelectionAndMoves(shown, write);
  const onEdgesChange = useCallback((changes: EdgeChange<FlowEdge>[]) => {
    setSelectedEdges((old) => {
      const next = new Set(old);
      for (const change of changes) {
        if (change.type === "select") {
          if (change.selected) next.add(change.id);
          else next.delete(change.id);
        }
        if (change.type === "remove") next.delete(change.id);
      }
      return next.size === old.size && [...next].every((id) => old.has(id)) ? old : next;
    });
  }, []);
  return { nodes: flowNodes, edges: flowEdges, onNodesChange, onEdgesChange, selectedEdges };
}

function useDragWriter(setDragged: (nodes: readonly FlowNode[]) => void) {
  const { board } = useOpen();
  const due = useRef<{ timer: ReturnType<typeof setTimeout>; moved: readonly FlowNode[] } | null>(null);
  const flush = useCallback(() => {
    if (!due.current) return;
    clearTimeout(due.current.timer);
    board.place(due.current.moved.map(({ id, position }) => ({ id, x: position.x, y: position.y })));
    due.current = null;
  }, [board]);
  useEffect(() => flush, [flush]);
  return useCallback(
    (moved: readonly FlowNode[], dragging: boolean) => {
      if (due.current) due.current.moved = moved;
      else due.current = { moved, timer: setTimeout(flush, SHOW_DRAG_MS) };
      if (dragging) return setDragged(moved);
      flush();
      setDragged([]);
    },
    [flush, setDragged],
  );
}

function useSelectionAndMoves(
  shown: React.RefObject<FlowNode[]>,
  write: (moved: readonly FlowNode[], dragging: boolean) => void,
) {
  const { board, select } = useOpen();
  const { selected } = useSelected();
  const current = useRef(selected);
  current.current = selected;
  return useCallback(
    (changes: NodeChange<FlowNode>[]) => {
      const selections = changes.filter((change) => change.type === "select");
      if (selections.length > 0) {
        const next = new Set(current.current);
        for (const change of selections) {
          if (change.selected) next.add(change.id);
          else next.delete(change.id);
        }
        current.current = [...next];
        select(current.current);
      }
      const moves = changes.filter((change) => change.type === "position" && change.position);
      if (moves.length > 0) {
        const ids = new Set(moves.map((change) => (change.type === "position" ? change.id : "")));
        const moved = applyNodeChanges(moves, shown.current).filter((node) => ids.has(node.id));
        write(
          moved,
          moves.some((change) => change.type === "position" && change.dragging),
        );
      }
      for (const change of changes) {
        // Only a person's pull on a corner, never a measurement of the browser.
        if (change.type !== "dimensions" || !change.resizing || !change.dimensions) continue;
        board.place([{ id: change.id, w: change.dimensions.width, h: change.dimensions.height }]);
      }
    },
    [board, select, shown, write],
  );
}
