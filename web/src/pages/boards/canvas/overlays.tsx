import { useStore } from "@xyflow/react";
import { memo, useCallback, useMemo } from "react";
import { Button } from "../../../ui";
import { useNodes, usePeers } from "../context";
import type { Peer } from "../doc/peers";
import type { BoardNode } from "../doc/types";
import type { Arriving } from "../useBring";
import { ZOOM_FAR } from "./detail";
import css from "./canvas.module.css";

const GRID_PX = 24;
/** The ground reaches so many windows around the board, and is put anew once one comes near its end. */
const GROUND_WINDOWS = 2;

/**
 * The board's ground with its dots. It lies under all nodes and moves with them: the compositor makes one layer of a
 * board only where something fills the room between its nodes.
 */
export function Ground() {
  const nodes = useNodes();
  const box = useMemo(() => boundsOf(nodes), [nodes]);
  const dotted = useStore(({ transform }) => transform[2] >= ZOOM_FAR);
  const window = useStore(
    useCallback(({ transform: [x, y, zoom], width, height }) => {
      const step = 2 ** Math.ceil(Math.log2(Math.max(width, height, 1) / zoom));
      const [left, top] = [Math.floor(-x / zoom / step), Math.floor(-y / zoom / step)];
      return `${left * step} ${top * step} ${step}`;
    }, []),
  );
  const [x = 0, y = 0, step = 0] = window.split(" ").map(Number);
  const left = down(Math.min(x - step * GROUND_WINDOWS, box.left));
  const top = down(Math.min(y - step * GROUND_WINDOWS, box.top));
  const right = Math.max(x + step * (GROUND_WINDOWS + 1), box.right);
  const bottom = Math.max(y + step * (GROUND_WINDOWS + 1), box.bottom);
  return (
    <div
      className={css.ground}
      data-dotted={dotted || undefined}
      style={{ left, top, width: right - left, height: bottom - top, backgroundSize: `${GRID_PX}px ${GRID_PX}px` }}
    />
  );
}
const down = (at: number) => Math.floor(at / GRID_PX) * GRID_PX;

function boundsOf(nodes: readonly BoardNode[]) {
  const box = { left: 0, top: 0, right: 0, bottom: 0 };
  for (const { x, y, w, h } of nodes) {
    box.left = Math.min(box.left, x);
    box.top = Math.min(box.top, y);
    box.right = Math.max(box.right, x + w);
    box.bottom = Math.max(box.bottom, y + h);
  }
  return box;
}

/** The others' pointers, at one size however far one has zoomed. */
export function Cursors() {
  const peers = usePeers();
  const zoom = useStore((state) => state.transform[2]);
  return peers.map((peer) => peer.cursor && <Cursor key={peer.client} peer={peer} zoom={zoom} />);
}

const Cursor = memo(function Cursor({ peer, zoom }: { peer: Peer; zoom: number }) {
  if (!peer.cursor) return null;
  return (
    <div
      className={css.cursor}
      style={{
        transform: `translate(${peer.cursor.x}px, ${peer.cursor.y}px) scale(${1 / zoom})`,
        color: peer.color,
      }}
      aria-hidden="true"
      data-testid="cursor"
    >
      <svg width="18" height="18" viewBox="0 0 18 18">
        <path d="M2 1.5 15.5 8 9.2 9.8 6.4 16z" fill="currentColor" stroke="var(--ground)" strokeWidth="1.5" />
      </svg>
      <span style={{ background: peer.color }}>{peer.name}</span>
    </div>
  );
});

/** Files on their way in, where they will be. */
export function ArrivingCards({ arriving }: { arriving: readonly Arriving[] }) {
  return arriving.map((one) => (
    <div key={one.id} className={css.arriving} style={{ transform: `translate(${one.x}px, ${one.y}px)` }}>
      {one.localUrl && <img src={one.localUrl} alt="" />}
      <div className={css.arrivingFoot}>
        <span role="status">
          {one.fraction < 1 ? `Uploading ${Math.round(one.fraction * 100)} %` : "Looking at it"} · {one.name}
        </span>
        <Button look="quiet" icon="close" aria-label={`Stop uploading ${one.name}`} onClick={one.cancel} />
      </div>
    </div>
  ));
}
