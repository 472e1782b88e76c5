/** Round numbers for an axis from zero to `max`: at most `count` steps, each 1, 2 or 5 times a power of ten. */
export function ticks(max: number, count: number): number[] {
  if (!(max > 0)) return [0, 1];
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? 10 * power;
  const steps = Math.ceil(max / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

export interface Placed {
  x: number;
  y: number | null;
}

/** Runs of points without a hole: an undefined value breaks the line instead of being drawn as zero. */
export function segments(points: Placed[]): { x: number; y: number }[][] {
  const all: { x: number; y: number }[][] = [];
  let current: { x: number; y: number }[] = [];
  for (const point of points) {
    if (point.y === null) {
      if (current.length > 0) all.push(current);
      current = [];
    } else {
      current.push({ x: point.x, y: point.y });
    }
  }
  if (current.length > 0) all.push(current);
  return all;
}

export function path(points: { x: number; y: number }[]): string {
  return points.map((point, index) => `${index === 0 ? "M" : "L"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("");
}

/**
 * A series in its two parts: what is final, and what may still change. The open part begins at the last final point,
 * so that the line is whole; it is drawn apart, since an unfinished day always looks like a fall.
 */
export function finalAndOpen<T extends { complete: boolean }>(
  points: T[],
  placed: Placed[],
): { final: Placed[]; open: Placed[] } {
  const first = points.findIndex((point) => !point.complete);
  if (first < 0) return { final: placed, open: [] };
  return { final: placed.slice(0, first), open: placed.slice(Math.max(0, first - 1)) };
}
