import { useReactFlow } from "@xyflow/react";
import { useEffect, useRef, useState } from "react";
import { Button, Tip, type IconName } from "../../../ui";
import { useOpen } from "../context";
import { freeBelow } from "../doc/place";
import { SIZES, type NodeKind } from "../doc/types";
import { KIND_WORDS } from "../words";
import type { AddAt } from "./AddPalette";
import type { Glide } from "./glide";
import { editText } from "./NodeText";
import { usePercent } from "./useGlide";
import css from "./canvas.module.css";

const PUT: { kind: NodeKind; icon: IconName; keys?: string }[] = [
  { kind: "prompt", icon: "prompt", keys: "T" },
  { kind: "shot", icon: "shot" },
  { kind: "note", icon: "note" },
];
const MOVE_MS = 160;

/** What one can put on the board, at its left edge; how near one is, at the bottom. */
export function Dock({ onAdd, glide }: { onAdd: (at: AddAt) => void; glide: Glide }) {
  const { board, bring, select } = useOpen();
  const view = useReactFlow();
  const file = useRef<HTMLInputElement>(null);
  const dock = useRef<HTMLDivElement>(null);
  const center = () => {
    const box = dock.current?.parentElement?.getBoundingClientRect();
    return box ? { x: box.left + box.width / 2, y: box.top + box.height / 2 } : { x: 400, y: 300 };
  };
  const put = (kind: NodeKind) => {
    const { x, y } = view.screenToFlowPosition(center());
    board.step();
    const { w, h } = SIZES[kind];
    const id = board.addNode({ kind, ...freeBelow(board.nodes, { x: x - w / 2, y: y - h / 2 }, { w, h }) });
    select([id]);
    editText(id);
  };
  return (
    <>
      <div ref={dock} className={css.dock} role="toolbar" aria-label="Put on the board" aria-orientation="vertical">
        <Tip text="Add a tool, or anything" keys="A">
          <Button
            look="quiet"
            icon="plus"
            aria-label="Add"
            onClick={() => onAdd({ at: view.screenToFlowPosition(center()), screen: center() })}
          />
        </Tip>
        <Tip text="Photograph, clip or sound">
          <Button look="quiet" icon="upload" aria-label="Bring a file" onClick={() => file.current?.click()} />
        </Tip>
        {PUT.map(({ kind, icon, keys }) => (
          <Tip key={kind} text={KIND_WORDS[kind]} {...(keys ? { keys } : {})}>
            <Button look="quiet" icon={icon} aria-label={KIND_WORDS[kind]} onClick={() => put(kind)} />
          </Tip>
        ))}
        <hr />
        <History />
        <input
          ref={file}
          type="file"
          hidden
          multiple
          accept="image/*,video/*,audio/*"
          data-testid="board-file"
          onChange={(event) => {
            bring([...(event.target.files ?? [])], view.screenToFlowPosition(center()));
            event.target.value = "";
          }}
        />
      </div>
      <Zoom glide={glide} />
    </>
  );
}

function History() {
  const { board } = useOpen();
  const [can, setCan] = useState({ undo: false, redo: false });
  useEffect(() => {
    const read = () => setCan({ undo: board.undo.canUndo(), redo: board.undo.canRedo() });
    read();
    board.undo.on("stack-item-added", read);
    board.undo.on("stack-item-popped", read);
    return () => {
      board.undo.off("stack-item-added", read);
      board.undo.off("stack-item-popped", read);
    };
  }, [board]);
  return (
    <>
      <Tip text="Undo" keys="⌘Z">
        <Button look="quiet" icon="undo" aria-label="Undo" disabled={!can.undo} onClick={() => board.undo.undo()} />
      </Tip>
      <Tip text="Redo" keys="⇧⌘Z">
        <Button look="quiet" icon="redo" aria-label="Redo" disabled={!can.redo} onClick={() => board.undo.redo()} />
      </Tip>
    </>
  );
}

function Zoom({ glide }: { glide: Glide }) {
  const view = useReactFlow();
  const percent = usePercent(glide);
  return (
    <div className={css.zoom} role="group" aria-label="Zoom">
      <Tip text="Zoom out" keys="−">
        <button type="button" aria-label="Zoom out" onClick={() => void view.zoomOut({ duration: MOVE_MS })}>
          −
        </button>
      </Tip>
      <Tip text="To full size" keys="0">
        <button type="button" className={css.percent} onClick={() => void view.zoomTo(1, { duration: MOVE_MS })}>
          {percent} %
        </button>
      </Tip>
      <Tip text="Zoom in" keys="+">
        <button type="button" aria-label="Zoom in" onClick={() => void view.zoomIn({ duration: MOVE_MS })}>
          +
        </button>
      </Tip>
      <Tip text="All in sight" keys="1">
        <button
          type="button"
          className={css.percent}
          onClick={() => void view.fitView({ padding: 0.15, maxZoom: 1, duration: MOVE_MS })}
        >
          Fit
        </button>
      </Tip>
    </div>
  );
}
