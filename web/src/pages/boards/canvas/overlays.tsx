import { useStore } from "@xyflow/react";
import { memo } from "react";
import { Button } from "../../../ui";
import { usePeers } from "../context";
import type { Peer } from "../doc/peers";
import type { Arriving } from "../useBring";
import css from "./canvas.module.css";

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
