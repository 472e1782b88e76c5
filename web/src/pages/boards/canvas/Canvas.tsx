import "@xyflow/react/dist/base.css";
import {
  ReactFlow,
  ReactFlowProvider,
  SelectionMode,
  useReactFlow,
  ViewportPortal,
  type Connection,
  type FinalConnectionState,
  type IsValidConnection,
} from "@xyflow/react";
import { useCallback, useEffect, useRef, useState } from "react";
import { Button } from "../../../ui";
import { useToasts } from "../../../ui/toasts";
import { DropAnywhere } from "../../studio/DropAnywhere";
import { useNodes, useOpen, useSelected } from "../context";
import { inputsOf, landing, OUT, refusal, type Media } from "../doc/ports";
import { AddPalette, type AddAt } from "./AddPalette";
import { ArrivingCards, Cursors, Ground } from "./overlays";
import { Dock } from "./Dock";
import { DetailProvider } from "./detail";
import { NODE_TYPES } from "./nodes";
import type { FlowEdge, FlowNode } from "./flow";
import type { Glide } from "./glide";
import { useCanvasKeys } from "./useCanvasKeys";
import { useDetails } from "./useDetails";
import { useFlow } from "./useFlow";
import { useGlide } from "./useGlide";
import { useGroupDrag } from "./useGroupDrag";
import css from "./canvas.module.css";

const ZOOM_MIN = 0.05;
const ZOOM_MAX = 3;
/** Up to so many nodes, all are on the page: asking in every frame which are in sight costs more than having them. */
const NODES_ALL_MAX = 2_000;
const FIT = { padding: 0.15, maxZoom: 1 } as const;
const SNAP_PX = 30;

export default function Canvas() {
  return (
    <ReactFlowProvider>
      <Flow />
    </ReactFlowProvider>
  );
}

function Flow() {
  const { canEdit, select, bring } = useOpen();
  const { arriving } = useSelected();
  const flow = useFlow();
  const view = useReactFlow<FlowNode, FlowEdge>();
  const frame = useRef<HTMLDivElement>(null);
  const [adding, setAdding] = useState<AddAt | null>(null);
  const isMany = flow.nodes.length > NODES_ALL_MAX;
  const { glide, given } = useGlide(frame, !isMany);
  const pointer = usePointer(frame, glide);
  const { valid, connect, dropped } = useConnecting(setAdding);
  const detail = useDetails(frame, glide);
  const coarse = matchMedia("(pointer: coarse)").matches;
  useFirstFit();
  useReveal(frame);
  useCanvasKeys({ pointer, openAdd: setAdding, selectedEdges: flow.selectedEdges });
  const group = useGroupDrag();

  const addAt = (event: React.MouseEvent) => {
    if (!(event.target instanceof Element) || !event.target.classList.contains("react-flow__pane") || !canEdit) return;
    setAdding({
      at: view.screenToFlowPosition({ x: event.clientX, y: event.clientY }),
      screen: { x: event.clientX, y: event.clientY },
    });
  };
  return (
    <DropAnywhere
      onFiles={(files) => {
        if (canEdit) bring([...files], view.screenToFlowPosition(pointer.current.screen));
      }}
    >
      <div
        ref={frame}
        className={css.canvas}
        data-many={isMany || undefined}
        onDoubleClick={addAt}
        role="region"
        aria-label="Canvas"
      >
        <DetailProvider value={detail}>
          <ReactFlow<FlowNode, FlowEdge>
            nodes={flow.nodes}
            edges={flow.edges}
            nodeTypes={NODE_TYPES}
            onNodesChange={flow.onNodesChange}
            onEdgesChange={flow.onEdgesChange}
            onNodeDragStart={group.start}
            onNodeDrag={group.move}
            onNodeDragStop={group.stop}
            onConnect={connect}
            onConnectEnd={dropped}
            isValidConnection={valid}
            onlyRenderVisibleElements={isMany}
            {...given}
            minZoom={ZOOM_MIN}
            maxZoom={ZOOM_MAX}
            connectionRadius={SNAP_PX}
            panOnScroll
            panOnDrag={coarse ? true : [1, 2]}
            selectionOnDrag={!coarse}
            selectionMode={SelectionMode.Partial}
            multiSelectionKeyCode={["Meta", "Control", "Shift"]}
            zoomActivationKeyCode={["Meta", "Control"]}
            zoomOnDoubleClick={false}
            deleteKeyCode={null}
            disableKeyboardA11y
            nodesDraggable={canEdit}
            nodesConnectable={canEdit}
            elevateNodesOnSelect={false}
            proOptions={{ hideAttribution: true }}
          >
            <ViewportPortal>
              <Ground />
              <ArrivingCards arriving={arriving} />
              <Cursors />
            </ViewportPortal>
          </ReactFlow>
        </DetailProvider>
        {canEdit && <Dock onAdd={setAdding} glide={glide} />}
        <EmptyCanvas />
        {adding && (
          <AddPalette
            where={adding}
            onClose={() => setAdding(null)}
            onAdded={(id) => {
              select([id]);
            }}
          />
        )}
      </div>
    </DropAnywhere>
  );
}

/** Where the pointer is, for what is put "here"; told to the others as a cursor, at most so often. */
const CURSOR_MS = 60;
function usePointer(frame: React.RefObject<HTMLDivElement | null>, glide: Glide) {
  const { peers } = useOpen();
  const pointer = useRef({ screen: { x: innerWidth / 2, y: innerHeight / 2 }, inside: false });
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    let due: ReturnType<typeof setTimeout> | undefined;
    const tell = () => {
      due = undefined;
      const { inside, screen } = pointer.current;
      const { left, top } = element.getBoundingClientRect();
      const { x, y, zoom } = glide.view;
      const at = { x: Math.round((screen.x - left - x) / zoom), y: Math.round((screen.y - top - y) / zoom) };
      peers.say("cursor", inside ? at : null);
    };
    const soon = () => (due ??= setTimeout(tell, CURSOR_MS));
    const move = (event: PointerEvent | DragEvent) => {
      pointer.current = { screen: { x: event.clientX, y: event.clientY }, inside: true };
      soon();
    };
    const leave = () => {
      pointer.current.inside = false;
      soon();
    };
    element.addEventListener("pointermove", move);
    element.addEventListener("dragover", move);
    element.addEventListener("pointerleave", leave);
    return () => {
      clearTimeout(due);
      peers.say("cursor", null);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("dragover", move);
      element.removeEventListener("pointerleave", leave);
    };
  }, [frame, peers, glide]);
  return pointer;
}

/** The whole board in sight once it is here; a board that begins empty stays where one begins. */
function useFirstFit() {
  const view = useReactFlow();
  const { board, connection } = useOpen();
  const count = useNodes().length;
  const due = useRef<"unknown" | "due" | "done">("unknown");
  useEffect(() => {
    const loaded = () => {
      if (due.current === "unknown" && connection.snapshot.loaded)
        due.current = board.nodes.length > 0 ? "due" : "done";
      if (due.current !== "due" || count === 0) return;
      due.current = "done";
      requestAnimationFrame(() => void view.fitView(FIT));
    };
    loaded();
    return connection.subscribe(loaded);
  }, [view, board, connection, count]);
}

const REVEAL_MS = 160;
const EDGE_PX = 24;

/** What is chosen is in sight: the panel that opens for it takes room, and it may be chosen from elsewhere. */
function useReveal(frame: React.RefObject<HTMLDivElement | null>) {
  const view = useReactFlow();
  const { board } = useOpen();
  const { selected } = useSelected();
  const id = selected.length === 1 ? selected[0] : undefined;
  useEffect(() => {
    if (id === undefined) return;
    const soon = setTimeout(() => {
      const node = board.node(id);
      const box = frame.current?.getBoundingClientRect();
      if (!node || !box) return;
      const { x, y, zoom } = view.getViewport();
      const dx = into(node.x * zoom + x, node.w * zoom, box.width);
      const dy = into(node.y * zoom + y, node.h * zoom, box.height);
      if (dx || dy) void view.setViewport({ x: x + dx, y: y + dy, zoom }, { duration: REVEAL_MS });
    }, REVEAL_MS / 2);
    return () => clearTimeout(soon);
  }, [id, board, frame, view]);
}

/** How far something must move to be inside of a window; nothing where it is larger than that. */
function into(start: number, size: number, room: number): number {
  if (size + EDGE_PX * 2 > room) return 0;
  if (start < EDGE_PX) return EDGE_PX - start;
  return Math.min(0, room - EDGE_PX - size - start);
}

/** Which port takes what is pulled, why another does not, and what happens when it is let go over nothing. */
function useConnecting(openAdd: (at: AddAt) => void) {
  const { board, facts, canEdit } = useOpen();
  const { say } = useToasts();
  const view = useReactFlow();
  const makes = useCallback((id: string): Media | null => facts.of(id).makes, [facts]);
  const why = useCallback(
    (source: string, target: string, portName: string | null | undefined): string | null => {
      const node = board.node(target);
      if (!node) return "It is gone";
      if (board.wouldCircle(source, target)) return "That would make a circle: it would be made of itself";
      const port = inputsOf(node, facts.tool(node)).find((one) => one.name === portName);
      return refusal(makes(source), port);
    },
    [board, facts, makes],
  );
  const valid = useCallback<IsValidConnection<FlowEdge>>(
    (edge) => why(edge.source, edge.target, edge.targetHandle) === null,
    [why],
  );
  const connect = useCallback(
    ({ source, target, targetHandle }: Connection) => {
      if (!targetHandle || !canEdit) return;
      board.step();
      board.connect(source, OUT, target, targetHandle);
    },
    [board, canEdit],
  );
  const dropped = useCallback(
    (event: MouseEvent | TouchEvent, state: FinalConnectionState) => {
      if (state.isValid || !state.fromNode || state.fromHandle?.type !== "source" || !canEdit) return;
      const { x, y } = "changedTouches" in event ? touchOf(event) : { x: event.clientX, y: event.clientY };
      const from = state.fromNode.id;
      const over = document.elementFromPoint(x, y)?.closest<HTMLElement>(".react-flow__node")?.dataset.id;
      const target = over ? board.node(over) : undefined;
      if (over && target && over !== from) {
        const taken = new Set(board.edges.filter((edge) => edge.to === over).map((edge) => edge.toPort));
        const ports = inputsOf(target, facts.tool(target));
        const port = landing(makes(from), ports, taken);
        const because = why(from, over, port?.name ?? state.toHandle?.id ?? ports[0]?.name);
        if (because || !port) return say({ title: because ?? "Nothing can be led in there" });
        board.step();
        board.connect(from, OUT, over, port.name);
        return;
      }
      if (over) return;
      openAdd({
        at: view.screenToFlowPosition({ x, y }),
        screen: { x, y },
        from: { node: from, media: makes(from) },
      });
    },
    [board, facts, makes, why, say, openAdd, view, canEdit],
  );
  return { valid, connect, dropped };
}

function touchOf(event: TouchEvent) {
  const touch = event.changedTouches[0];
  return { x: touch?.clientX ?? 0, y: touch?.clientY ?? 0 };
}

/** Teaches the first step, until there is something. */
function EmptyCanvas() {
  const count = useNodes().length;
  const { bring, connection, canEdit } = useOpen();
  const view = useReactFlow();
  const file = useRef<HTMLInputElement>(null);
  const { arriving } = useSelected();
  const [loaded, setLoaded] = useState(connection.snapshot.loaded);
  useEffect(() => connection.subscribe(() => setLoaded(connection.snapshot.loaded)), [connection]);
  if (count > 0 || arriving.length > 0) return null;
  return (
    <div className={css.empty}>
      {loaded ? (
        <>
          <h2>An empty board</h2>
          <p>
            {canEdit
              ? "Drop a photograph anywhere, or press A and choose what to add. Pull a line from a picture’s right edge to a tool."
              : "Nothing is on it yet. What others put here appears at once."}
          </p>
          {canEdit && (
            <>
              <Button look="primary" icon="upload" onClick={() => file.current?.click()}>
                Bring photographs
              </Button>
              <input
                ref={file}
                type="file"
                hidden
                multiple
                accept="image/*,video/*"
                onChange={(event) => {
                  const box = event.target.parentElement?.getBoundingClientRect() ?? new DOMRect();
                  const middle = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
                  bring([...(event.target.files ?? [])], view.screenToFlowPosition(middle));
                }}
              />
            </>
          )}
        </>
      ) : (
        <p role="status">Fetching the board…</p>
      )}
    </div>
  );
}
