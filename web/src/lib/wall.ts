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
  const heightOf = (count: number, ratios: number) => (width_px - gap_px * (count - 1)) / ratios;
  let row: T[] = [];
  let ratios = 0;
  for (const item of items) {
    const own = clampRatio(ratio(item));
    const height = heightOf(row.length + 1, ratios + own);
    const without = row.length > 0 ? heightOf(row.length, ratios) : Infinity;
    // One item too many makes a row too low, one too few too high: what is nearer to the target stays.
    if (height < target_px && without - target_px < target_px - height) {
      rows.push({ items: row, height_px: without });
      row = [];
      ratios = 0;
    }
    row.push(item);
    ratios += own;
    if (heightOf(row.length, ratios) <= target_px) {
      rows.push({ items: row, height_px: heightOf(row.length, ratios) });
      row = [];
      ratios = 0;
    }
  }
  if (row.length > 0) rows.push({ items: row, height_px: Math.min(target_px, heightOf(row.length, ratios)) });
  return rows;
}

const RATIO_MIN = 0.4;
const RATIO_MAX = 3.5;

/** A very long panorama or tower is cropped on the wall, never a thread. */
export function clampRatio(ratio: number): number {
  return Math.min(RATIO_MAX, Math.max(RATIO_MIN, ratio));
}
