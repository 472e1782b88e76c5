/** One row of a wall: items at one height that fill the width, except the last row. */
export interface WallRow<T> {
  items: T[];
  height_px: number;
}

/**
 * Lays items out in rows at their own aspect ratios. Rows are about `target_px` high; each full row is scaled so
 * that it ends at the right edge. The last row keeps the target height rather than blow up one picture.
 */
export function wallRows<T>(
  items: T[],
  ratio: (item: T) => number,
  width_px: number,
  target_px: number,
  gap_px: number,
): WallRow<T>[] {
  const rows: WallRow<T>[] = [];
  let row: T[] = [];
  let ratios = 0;
  for (const item of items) {
    row.push(item);
    ratios += clampRatio(ratio(item));
    const height = (width_px - gap_px * (row.length - 1)) / ratios;
    if (height <= target_px) {
      rows.push({ items: row, height_px: height });
      row = [];
      ratios = 0;
    }
  }
  if (row.length > 0) rows.push({ items: row, height_px: target_px });
  return rows;
}

const RATIO_MIN = 0.4;
const RATIO_MAX = 3.5;

/** A very long panorama or tower is cropped on the wall, never a thread. */
export function clampRatio(ratio: number): number {
  return Math.min(RATIO_MAX, Math.max(RATIO_MIN, ratio));
}
