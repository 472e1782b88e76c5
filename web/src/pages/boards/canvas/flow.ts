import { Position, type Edge, type Node, type NodeHandle } from "@xyflow/react";
import type { Tool } from "../../../api/types";
import type { Facts } from "../doc/facts";
import { hasOutput, inputsOf, OUT } from "../doc/ports";
import type { BoardEdge, BoardNode } from "../doc/types";
import { nodeTitle } from "../words";

/** The nodes draw themselves from the stores: React Flow only knows where they are. */
export type FlowNode = Node<Record<string, never>>;
export type FlowEdge = Edge;

const DATA = {};
const PORT_PX = 12;
/** From the node's top to its first port, and from port to port. */
export const PORT_TOP_PX = 28;
export const PORT_STEP_PX = 28;

/** Said beforehand, so that edges to nodes outside of the window are drawn without drawing those. */
export function handlesOf(node: BoardNode, tool: Tool | undefined): NodeHandle[] {
  const inputs = inputsOf(node, tool);
  const handles: NodeHandle[] = inputs.map((port, index) => ({
    id: port.name,
    type: "target",
    position: Position.Left,
    x: -PORT_PX / 2,
    y: PORT_TOP_PX + index * PORT_STEP_PX - PORT_PX / 2,
    width: PORT_PX,
    height: PORT_PX,
  }));
  if (hasOutput(node, tool))
    handles.push({
      id: OUT,
      type: "source",
      position: Position.Right,
      x: node.w - PORT_PX / 2,
      y: PORT_TOP_PX - PORT_PX / 2,
      width: PORT_PX,
      height: PORT_PX,
    });
  return handles;
}

/** The same object for a node that did not change, so that nothing of it is drawn again. */
export function toFlowNodes(
  nodes: readonly BoardNode[],
  facts: Facts,
  before: ReadonlyMap<string, { from: BoardNode; tool: Tool | undefined; flow: FlowNode }>,
  selected: ReadonlySet<string>,
): Map<string, { from: BoardNode; tool: Tool | undefined; flow: FlowNode }> {
  const next = new Map<string, { from: BoardNode; tool: Tool | undefined; flow: FlowNode }>();
  for (const node of nodes) {
    const old = before.get(node.id);
    const tool = facts.tool(node);
    const isSelected = selected.has(node.id);
    next.set(
      node.id,
      old && old.from === node && old.tool === tool && old.flow.selected === isSelected
        ? old
        : { from: node, tool, flow: flowNode(node, tool, isSelected) },
    );
  }
  return next;
}

/** Without a transform of its own: five hundred of those would be worked through in every frame in which the board moves. */
export const placed = ({ x, y }: { x: number; y: number }) => ({ transform: "none", left: x, top: y });

function flowNode(node: BoardNode, tool: Tool | undefined, selected: boolean): FlowNode {
  const title = nodeTitle(node, tool);
  return {
    id: node.id,
    type: node.kind,
    position: { x: node.x, y: node.y },
    width: node.w,
    height: node.h,
    measured: { width: node.w, height: node.h },
    handles: handlesOf(node, tool),
    zIndex: node.kind === "group" ? -1 : 0,
    selected,
    ariaLabel: title,
    data: DATA,
    style: placed(node),
  };
}

export function toFlowEdges(
  edges: readonly BoardEdge[],
  board: { node: (id: string) => BoardNode | undefined },
  facts: Facts,
  before: ReadonlyMap<BoardEdge, FlowEdge>,
  selected: ReadonlySet<string>,
): Map<BoardEdge, FlowEdge> {
  const next = new Map<BoardEdge, FlowEdge>();
  for (const edge of edges) {
    const from = board.node(edge.from);
    const media = facts.of(edge.from).makes;
    const className = media ?? "unknown";
    const old = before.get(edge);
    const isSelected = selected.has(edge.id);
    next.set(
      edge,
      old && old.className === className && old.selected === isSelected
        ? old
        : {
            id: edge.id,
            source: edge.from,
            sourceHandle: edge.fromPort,
            target: edge.to,
            targetHandle: edge.toPort,
            className,
            selected: isSelected,
            focusable: false,
            ariaLabel: `From ${nodeTitle(from, from && facts.tool(from))} to ${edge.toPort}`,
          },
    );
  }
  return next;
}
