import { createContext, useCallback, useContext, useSyncExternalStore } from "react";
import { flushSync } from "react-dom";

/** Below this, words cannot be read: the nodes are their pictures only, and the dots would be a fog. */
export const ZOOM_FAR = 0.4;
/** So much around the window is drawn in detail too, as a share of the window: what one pans to is there already. */
const MARGIN = 0.4;
/** In each frame, so much time goes into changing how nodes are drawn; the rest of the frame is the gesture's. */
const SLICE_MS = 2;
/** So few are changed at once: what somebody puts down can be written on in the same moment. */
const AT_ONCE_MAX = 12;

interface Box {
  id: string;
  x: number;
  y: number;
  w: number;
  h: number;
}
export interface View {
  x: number;
  y: number;
  zoom: number;
  width: number;
  height: number;
}

/** Which nodes want words, ports and buttons: those in sight and near it, the nearest to the middle first. */
export function wanted(nodes: readonly Box[], view: View): string[] {
  if (view.zoom < ZOOM_FAR || view.width === 0) return [];
  const width = view.width / view.zoom;
  const height = view.height / view.zoom;
  const middle = { x: width / 2 - view.x / view.zoom, y: height / 2 - view.y / view.zoom };
  const reach = { x: width * (0.5 + MARGIN), y: height * (0.5 + MARGIN) };
  const near: { id: string; far: number }[] = [];
  for (const { id, x, y, w, h } of nodes) {
    const dx = Math.max(x - middle.x, middle.x - x - w, 0);
    const dy = Math.max(y - middle.y, middle.y - y - h, 0);
    if (dx <= reach.x && dy <= reach.y) near.push({ id, far: Math.max(dx / width, dy / height) });
  }
  return near.sort((a, b) => a.far - b.far).map(({ id }) => id);
}

/**
 * Which nodes are drawn in detail. Five hundred cannot change between two frames: they do so one after the other, a few
 * in each frame, and only those that need to.
 */
export class Detail {
  private readonly drawn = new Set<string>();
  private want = new Set<string>();
  private queue: string[] = [];
  private frame = 0;
  private readonly listeners = new Map<string, () => void>();

  destroy(): void {
    cancelAnimationFrame(this.frame);
  }

  of = (id: string): boolean => this.drawn.has(id);

  subscribe(id: string, listener: () => void): () => void {
    this.listeners.set(id, listener);
    return () => {
      this.listeners.delete(id);
    };
  }

  /** What shall be drawn in detail from now on, the most urgent first; `moving`: the frame belongs to a gesture. */
  show(ids: readonly string[], moving = false): void {
    this.want = new Set(ids);
    this.queue = ids.filter((id) => !this.drawn.has(id));
    // What has gone out of sight costs nothing there: it can wait until the gesture is over.
    if (!moving) this.queue.push(...[...this.drawn].filter((id) => !this.want.has(id)));
    if (!moving && this.queue.length <= AT_ONCE_MAX) {
      for (const id of this.queue.splice(0)) this.change(id);
    } else if (!this.frame && this.queue.length > 0) this.frame = requestAnimationFrame(this.slice);
  }

  /** Changes nothing until it is shown something again. */
  hold(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  private slice = (): void => {
    const until = performance.now() + SLICE_MS;
    while (this.queue.length > 0 && performance.now() < until) {
      const id = this.queue.shift() ?? "";
      flushSync(() => this.change(id));
    }
    this.frame = this.queue.length > 0 ? requestAnimationFrame(this.slice) : 0;
  };

  private change(id: string): void {
    if (this.want.has(id)) this.drawn.add(id);
    else this.drawn.delete(id);
    this.listeners.get(id)?.();
  }
}

const Context = createContext<Detail | null>(null);
export const DetailProvider = Context.Provider;

/** Whether a node is drawn with all that it has, or as its picture only. */
export function useDetail(id: string): boolean {
  const detail = useContext(Context);
  if (!detail) throw new Error("a node outside of the canvas");
  return useSyncExternalStore(
    useCallback((listener) => detail.subscribe(id, listener), [detail, id]),
    () => detail.of(id),
  );
}
