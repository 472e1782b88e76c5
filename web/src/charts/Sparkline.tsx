import { useId, useRef } from "react";
import type { MetricPoint } from "../api/types";
import { useWidth } from "../lib/useSize";
import css from "./charts.module.css";
import { finalAndOpen, path, segments } from "./scale";

const PAD = 4;

/** The shape of a metric; the words beside it say the number. */
export function Sparkline({
  points,
  height = 64,
  from_zero_to = null,
}: {
  points: MetricPoint[];
  height?: number;
  from_zero_to?: number | null;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const hatch = useId();
  const top = from_zero_to ?? Math.max(0, ...points.map((point) => point.value ?? 0)) ?? 1;
  const step = points.length > 1 ? (width - 2 * PAD) / (points.length - 1) : 0;
  const x = (index: number) => PAD + index * step;
  const y = (value: number) => PAD + (height - 2 * PAD) * (1 - value / (top || 1));
  const { final, open } = finalAndOpen(
    points,
    points.map((point, index) => ({ x: x(index), y: point.value === null ? null : y(point.value) })),
  );
  const firstOpen = points.findIndex((point) => !point.complete);
  const lastIndex = points.findLastIndex((point) => point.value !== null);
  const last = points[lastIndex]?.value;
  return (
    <div ref={frame} className={css.spark} aria-hidden="true">
      <svg width={width} height={height}>
        <defs>
          <pattern id={hatch} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <line x1="0" y1="0" x2="0" y2="5" stroke="var(--hatch)" strokeWidth="2" />
          </pattern>
        </defs>
        {firstOpen >= 0 && width > 0 && (
          <rect
            x={Math.max(0, x(firstOpen) - step / 2)}
            y={0}
            width={Math.max(0, width - Math.max(0, x(firstOpen) - step / 2))}
            height={height}
            fill={`url(#${hatch})`}
            opacity="0.6"
          />
        )}
        <line x1={0} x2={width} y1={height - PAD} y2={height - PAD} className={css.base} />
        {segments(final).map((line, index) => (
          <path key={index} d={path(line)} className={css.line} />
        ))}
        {segments(open).map((line, index) => (
          <path key={index} d={path(line)} className={css.openLine} />
        ))}
        {last !== null && last !== undefined && (
          <circle
            cx={x(lastIndex)}
            cy={y(last)}
            r={3}
            className={points[lastIndex]?.complete ? css.dot : css.openDot}
          />
        )}
      </svg>
    </div>
  );
}
