import { useReactFlow } from "@xyflow/react";
import { useOpen, useSelected } from "../context";
import { SIZES } from "../doc/types";
import { useBoardKeys } from "../useBoardKeys";
import type { AddAt } from "./AddPalette";
import { editText } from "./NodeText";

const STEP_PX = 4;
const STEP_FAR_PX = 40;
const PAN_PX = 80;
const COPY_PX = 40;
const MOVE_MS = 160;
const GROUP_PAD_PX = 32;
const GROUP_TOP_PX = 56;

const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function useCanvasKeys({
  pointer,
  openAdd,
  selectedEdges,
}: {
  pointer: React.RefObject<{ screen: { x: number; y: number }; inside: boolean }>;
  openAdd: (at: AddAt) => void;
  selectedEdges: ReadonlySet<string>;
}) {
  const { board, canEdit, select } = useOpen();
  const { selected } = useSelected();
  const view = useReactFlow();
  const here = () => view.screenToFlowPosition(pointer.current.screen);
  const edit = (act: () => void) => () => {
    if (canEdit) act();
  };
  const arrow = (key: string, far: boolean) => () => {
    const [dx, dy] = ARROWS[key] ?? [0, 0];
    if (selected.length === 0 || !canEdit) {
      const { x, y, zoom } = view.getViewport();
      return void view.setViewport({ x: x - dx * PAN_PX, y: y - dy * PAN_PX, zoom });
    }
    const step = far ? STEP_FAR_PX : STEP_PX;
    board.place(
      selected.flatMap((id) => {
        const node = board.node(id);
        return node ? [{ id, x: node.x + dx * step, y: node.y + dy * step }] : [];
      }),
    );
  };
  const remove = edit(() => {
    board.step();
    board.remove(selected, [...selectedEdges]);
    select([]);
  });
  useBoardKeys({
    Delete: remove,
    Backspace: remove,
    "mod+d": edit(() => {
      board.step();
      select(board.duplicate(selected, COPY_PX, COPY_PX));
    }),
    "mod+a": () => select(board.nodes.map((node) => node.id)),
    "mod+g": edit(() => {
      const id = groupAround(board, selected);
      if (id) select([id]);
    }),
    "mod+z": edit(() => board.undo.undo()),
    "mod+shift+z": edit(() => board.undo.redo()),
    "mod+y": edit(() => board.undo.redo()),
    Escape: () => select([]),
    a: edit(() => openAdd({ at: here(), screen: pointer.current.screen })),
    t: edit(() => {
      const { x, y } = here();
      board.step();
      const id = board.addNode({ kind: "prompt", x: x - SIZES.prompt.w / 2, y: y - SIZES.prompt.h / 2 });
      select([id]);
      editText(id);
    }),
    enter: (event) => {
      const focused = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node")?.dataset.id;
      const id = focused ?? selected[0];
      if (!id) return;
      if (selected.length === 1 && selected[0] === id) editText(id);
      else select([id]);
    },
    " ": (event) => {
      const focused = (event.target as HTMLElement).closest<HTMLElement>(".react-flow__node")?.dataset.id;
      if (focused)
        select(selected.includes(focused) ? selected.filter((id) => id !== focused) : [...selected, focused]);
    },
    "+": () => void view.zoomIn({ duration: MOVE_MS }),
    "=": () => void view.zoomIn({ duration: MOVE_MS }),
    "-": () => void view.zoomOut({ duration: MOVE_MS }),
    "0": () => void view.zoomTo(1, { duration: MOVE_MS }),
    "1": () => void view.fitView({ padding: 0.15, maxZoom: 1, duration: MOVE_MS }),
    "2": () =>
      void view.fitView({ nodes: selected.map((id) => ({ id })), padding: 0.4, maxZoom: 1.5, duration: MOVE_MS }),
    ...Object.fromEntries(
      Object.keys(ARROWS).flatMap((key) => [
        [key, arrow(key, false)],
        [`shift+${key}`, arrow(key, true)],
      ]),
    ),
  });
}

/** A group around what is chosen. */
function groupAround(board: ReturnType<typeof useOpen>["board"], ids: readonly string[]): string | null {
  const nodes = ids.flatMap((id) => board.node(id) ?? []);
  if (nodes.length === 0) return null;
  const x = Math.min(...nodes.map((node) => node.x)) - GROUP_PAD_PX;
  const y = Math.min(...nodes.map((node) => node.y)) - GROUP_TOP_PX;
  const right = Math.max(...nodes.map((node) => node.x + node.w)) + GROUP_PAD_PX;
  const bottom = Math.max(...nodes.map((node) => node.y + node.h)) + GROUP_PAD_PX;
  board.step();
  return board.addNode({ kind: "group", x, y, w: right - x, h: bottom - y });
}
