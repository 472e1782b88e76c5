import { useRef, useState, type ReactNode } from "react";
import css from "./Compare.module.css";

/**
 * Two pictures in one frame with a line between them that one drags, or moves with the arrow keys.
 * Both layers get the same box; what is in them decides how it fits.
 */
export function Compare({
  before,
  after,
  beforeLabel,
  afterLabel,
  start = 50,
}: {
  before: ReactNode;
  after: ReactNode;
  beforeLabel: string;
  afterLabel: string;
  start?: number;
}) {
  const [at, setAt] = useState(start);
  const frame = useRef<HTMLDivElement>(null);
  const follow = (event: React.PointerEvent) => {
    const box = frame.current?.getBoundingClientRect();
    if (box) setAt(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
  };
  return (
    <div
      ref={frame}
      className={css.frame}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        follow(event);
      }}
      onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && follow(event)}
    >
      <div className={css.layer}>{after}</div>
      <div className={css.layer} style={{ clipPath: `inset(0 ${100 - at}% 0 0)` }}>
        {before}
      </div>
      <input
        type="range"
        className={css.range}
        min={0}
        max={100}
        step={1}
        value={Math.round(at)}
        aria-label={`Compare: ${beforeLabel} to the left, ${afterLabel} to the right of the line`}
        onChange={(event) => setAt(Number(event.target.value))}
      />
      <span className={css.line} style={{ left: `${at}%` }} aria-hidden="true">
        <span className={css.grip} />
      </span>
      <span className={css.label} style={{ left: 12, opacity: at > 16 ? 1 : 0 }} aria-hidden="true">
        {beforeLabel}
      </span>
      <span className={css.label} style={{ right: 12, opacity: at < 84 ? 1 : 0 }} aria-hidden="true">
        {afterLabel}
      </span>
    </div>
  );
}
