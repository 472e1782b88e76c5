import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, type CSSProperties, type KeyboardEvent, type ReactNode } from "react";
import { useWidth } from "../lib/useSize";
import { clampRatio, wallRows } from "../lib/wall";
import css from "./Wall.module.css";

const ROW_PX = 220;
const ROW_PX_PHONE = 150;
const GAP_PX = 4;
const PHONE_PX = 560;

/**
 * Things at their own aspect ratios in justified rows. What stands before another on the screen stands before it in
 * the page too, so the keyboard and a screen reader meet them in reading order; the arrow keys move by place. Only
 * the rows near the window are in the page.
 */
export function Wall<T>({
  items,
  idOf,
  ratioOf,
  more,
  label,
  row_px = ROW_PX,
  row_px_phone = ROW_PX_PHONE,
  children,
}: {
  items: T[];
  idOf: (item: T) => string;
  ratioOf: (item: T) => number;
  more: (() => void) | null;
  label: string;
  row_px?: number;
  row_px_phone?: number;
  children: (item: T) => ReactNode;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const target = width < PHONE_PX ? row_px_phone : row_px;
  const rows = width > 0 ? wallRows(items, ratioOf, width, target, GAP_PX) : [];
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (index) => (rows[index]?.height_px ?? target) + GAP_PX,
    overscan: 3,
    scrollMargin: frame.current?.offsetTop ?? 0,
  });
  useEffect(() => virtual.measure(), [virtual, width, items]);
  const visible = virtual.getVirtualItems();
  const atEnd = (visible.at(-1)?.index ?? 0) >= rows.length - 1;
  useEffect(() => {
    if (atEnd && rows.length > 0) more?.();
  }, [atEnd, rows.length, more]);
  const before: number[] = [];
  let count = 0;
  for (const row of rows) {
    before.push(count);
    count += row.items.length;
  }

  return (
    <div ref={frame}>
      <ul className={css.wall} aria-label={label} style={{ height: virtual.getTotalSize() }} onKeyDown={moveByPlace}>
        {visible.flatMap((line) => {
          const row = rows[line.index];
          if (!row) return [];
          let left = 0;
          return row.items.map((item, index) => {
            const tileWidth = Math.min(width, clampRatio(ratioOf(item)) * row.height_px);
            const style: CSSProperties = {
              width: tileWidth,
              height: row.height_px,
              transform: `translate(${left}px, ${line.start - virtual.options.scrollMargin}px)`,
            };
            left += tileWidth + GAP_PX;
            return (
              <li
                key={idOf(item)}
                className={css.tile}
                style={style}
                aria-posinset={(before[line.index] ?? 0) + index + 1}
                aria-setsize={more ? -1 : items.length}
              >
                {children(item)}
              </li>
            );
          });
        })}
      </ul>
    </div>
  );
}

const WAY: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** An arrow key moves to the nearest tile on that side; left and right go on in the next row. */
function moveByPlace(event: KeyboardEvent<HTMLUListElement>) {
  const way = WAY[event.key];
  const here = document.activeElement?.closest("li");
  if (!way || !here || event.metaKey || event.ctrlKey || event.altKey) return;
  const tiles = [...event.currentTarget.children] as HTMLElement[];
  const next = way[0] !== 0 ? tiles[tiles.indexOf(here) + way[0]] : nearest(tiles, here, way[1]);
  const link = next?.querySelector<HTMLElement>("a");
  if (!link) return;
  event.preventDefault();
  event.stopPropagation();
  link.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function nearest(tiles: HTMLElement[], here: HTMLElement, way: number): HTMLElement | undefined {
  const from = here.getBoundingClientRect();
  const middle = from.left + from.width / 2;
  let best: HTMLElement | undefined;
  let bestAway = Infinity;
  for (const tile of tiles) {
    const box = tile.getBoundingClientRect();
    const down = (box.top - from.top) * way;
    if (down <= 1) continue;
    const sideways = Math.max(0, box.left - middle, middle - box.right);
    const away = down * 2 + sideways;
    if (away < bestAway) [best, bestAway] = [tile, away];
  }
  return best;
}
