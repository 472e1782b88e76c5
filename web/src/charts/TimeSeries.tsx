import { useId, useRef, useState } from "react";
import type { MetricPoint } from "../api/types";
import { utcDay } from "../lib/format";
import { useWidth } from "../lib/useSize";
import css from "./charts.module.css";
import { finalAndOpen, path, segments, ticks } from "./scale";
import { tick, unitWord, withUnit } from "./unit";

const LEFT = 56;
const RIGHT = 96;
const TOP = 24;
const BOTTOM = 28;
const DAY_LABEL_PX = 64;

/**
 * One metric by day: units on the axis, the last value written at the line's end, days that may still change hatched.
 * The arrow keys move over the days; a day opens its rows.
 */
export function TimeSeries({
  points,
  unit,
  label,
  height = 260,
  chosen,
  onChoose,
}: {
  points: MetricPoint[];
  unit: string;
  label: string;
  height?: number;
  chosen: string | null;
  onChoose: (date: string) => void;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const [at, setAt] = useState<number | null>(null);
  const geometry = frameOf(points, unit, width, height);
  const { x, y, step } = geometry;
  const shown = at ?? points.findIndex((point) => point.date === chosen);
  const focus = points[shown];

  const follow = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    const index = step > 0 ? Math.round((event.clientX - box.left - LEFT) / step) : 0;
    setAt(Math.min(points.length - 1, Math.max(0, index)));
  };
  const onKey = (event: React.KeyboardEvent) => {
    const from = shown < 0 ? points.length - 1 : shown;
    if (event.key === "ArrowLeft") setAt(Math.max(0, from - 1));
    else if (event.key === "ArrowRight") setAt(Math.min(points.length - 1, from + 1));
    else if ((event.key === "Enter" || event.key === " ") && focus) onChoose(focus.date);
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={frame}
      className={css.series}
      role="slider"
      tabIndex={0}
      aria-label={`${label}, by day. Left and right choose a day, Enter opens its rows.`}
      aria-valuemin={0}
      aria-valuemax={Math.max(0, points.length - 1)}
      aria-valuenow={Math.max(0, shown)}
      aria-valuetext={
        focus
          ? `${utcDay(focus.date)}: ${withUnit(focus.value, unit)}${focus.complete ? "" : ", not complete"}`
          : "no day chosen"
      }
      onKeyDown={onKey}
    >
      <svg
        width={width}
        height={height}
        onPointerMove={follow}
        onPointerLeave={() => setAt(null)}
        onClick={() => focus && onChoose(focus.date)}
      >
        <Axes points={points} unit={unit} frame={geometry} />
        <Lines points={points} unit={unit} frame={geometry} />
        {focus && (
          <g className={css.focus}>
            <line x1={x(shown)} x2={x(shown)} y1={TOP} y2={height - BOTTOM} />
            {focus.value !== null && <circle cx={x(shown)} cy={y(focus.value)} r={4} />}
          </g>
        )}
      </svg>
      <p className={css.readout} aria-hidden="true">
        {focus ? (
          <>
            <b>{utcDay(focus.date)}</b> {withUnit(focus.value, unit)}
            {typeof focus.numerator === "number" && typeof focus.denominator === "number"
              ? ` (${focus.numerator} of ${focus.denominator})`
              : ""}
            {focus.complete ? "" : " · may still change"}
          </>
        ) : (
          "Point at a day; click it for its rows."
        )}
      </p>
    </div>
  );
}

/** Where a day and a value lie in the drawing. */
interface Frame {
  width: number;
  height: number;
  step: number;
  marks: number[];
  x: (index: number) => number;
  y: (value: number) => number;
}

const RATIO_MARKS = [0, 0.25, 0.5, 0.75, 1];
const MARKS_MAX = 4;

function frameOf(points: MetricPoint[], unit: string, width: number, height: number): Frame {
  const max = Math.max(0, ...points.map((point) => point.value ?? 0));
  const marks = unit === "ratio" ? RATIO_MARKS : ticks(max, MARKS_MAX);
  const top = marks.at(-1) ?? 1;
  const step = points.length > 1 ? Math.max(0, width - LEFT - RIGHT) / (points.length - 1) : 0;
  return {
    width,
    height,
    step,
    marks,
    x: (index) => LEFT + index * step,
    y: (value) => TOP + (height - TOP - BOTTOM) * (1 - value / top),
  };
}

interface Drawn {
  points: MetricPoint[];
  unit: string;
  frame: Frame;
}

function Axes({ points, unit, frame: { width, height, step, marks, x, y } }: Drawn) {
  const hatch = useId();
  const firstOpen = points.findIndex((point) => !point.complete);
  const every = Math.max(1, Math.ceil(DAY_LABEL_PX / Math.max(1, step)));
  return (
    <>
      <defs>
        <pattern id={hatch} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <line x1="0" y1="0" x2="0" y2="6" stroke="var(--hatch)" strokeWidth="2" />
        </pattern>
      </defs>
      <text x={0} y={12} className={css.unit}>
        {unitWord(unit)}
      </text>
      {marks.map((mark) => (
        <g key={mark}>
          <line x1={LEFT} x2={width - RIGHT} y1={y(mark)} y2={y(mark)} className={mark === 0 ? css.base : css.grid} />
          <text x={LEFT - 8} y={y(mark) + 4} textAnchor="end" className={css.tick}>
            {tick(mark, unit)}
          </text>
        </g>
      ))}
      {firstOpen >= 0 && (
        <g>
          <rect
            x={x(firstOpen) - step / 2}
            y={TOP}
            width={Math.max(step, x(points.length - 1) - x(firstOpen) + step / 2 + 8)}
            height={height - TOP - BOTTOM}
            fill={`url(#${hatch})`}
            opacity="0.6"
          />
          <text x={Math.min(x(firstOpen), width - RIGHT)} y={TOP - 8} textAnchor="end" className={css.tick}>
            may still change
          </text>
        </g>
      )}
      {points.map((point, index) =>
        index % every === 0 ? (
          <text key={point.date} x={x(index)} y={height - 8} textAnchor="middle" className={css.tick}>
            {utcDay(point.date)}
          </text>
        ) : null,
      )}
    </>
  );
}

function Lines({ points, unit, frame: { x, y } }: Drawn) {
  const placed = points.map((point, index) => ({ x: x(index), y: point.value === null ? null : y(point.value) }));
  const { final, open } = finalAndOpen(points, placed);
  const lastIndex = points.findLastIndex((point) => point.value !== null);
  const last = points[lastIndex];
  return (
    <>
      {segments(open).map((line, index) => (
        <path key={index} d={path(line)} className={css.openLine} />
      ))}
      {segments(final).map((line, index) =>
        line.length === 1 ? (
          <circle key={index} cx={line[0]?.x} cy={line[0]?.y} r={3} className={css.dot} />
        ) : (
          <path key={index} d={path(line)} className={css.line} />
        ),
      )}
      {last && last.value !== null && (
        <g>
          <circle cx={x(lastIndex)} cy={y(last.value)} r={3} className={last.complete ? css.dot : css.openDot} />
          <text x={x(lastIndex) + 10} y={y(last.value) + 4} className={css.direct}>
            {withUnit(last.value, unit)}
          </text>
        </g>
      )}
    </>
  );
}
