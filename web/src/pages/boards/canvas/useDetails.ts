import { useOnViewportChange, useStoreApi } from "@xyflow/react";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useNodes, useOpen } from "../context";
import { Detail, wanted } from "./detail";
import type { Glide } from "./glide";

/** How often a pan asks what has come into sight. */
const LOOK_MS = 100;
/** So long after a gesture the board is drawn sharp again: a pan is many pushes. */
const REST_MS = 200;

/**
 * Draws in detail what is in sight. During a gesture the board is one picture that the compositor moves (see
 * `data-moving` in the style); while one zooms, nothing on it changes.
 */
export function useDetails(frame: React.RefObject<HTMLDivElement | null>, glide: Glide): Detail {
  const { board } = useOpen();
  const nodes = useNodes();
  const store = useStoreApi();
  const [detail] = useState(() => new Detail());
  useEffect(() => () => detail.destroy(), [detail]);
  const moving = useRef({
    is: false,
    zoom: 1,
    lookedAt: 0,
    rest: undefined as ReturnType<typeof setTimeout> | undefined,
  });

  const look = useCallback(() => {
    const { width, height } = store.getState();
    moving.current.lookedAt = performance.now();
    detail.show(wanted(board.nodes, { ...glide.view, width, height }), moving.current.is);
  }, [board, detail, glide, store]);

  useLayoutEffect(() => {
    // React Flow measures what is new at the scale that it knows.
    glide.settle();
    look();
  }, [look, nodes, glide]);
  useEffect(() => {
    let before = store.getState();
    return store.subscribe((now) => {
      if (now.width !== before.width || now.height !== before.height) look();
      before = now;
    });
  }, [store, look]);
  useEffect(() => () => clearTimeout(moving.current.rest), []);
  useOnViewportChange({
    onStart: ({ zoom }) => {
      clearTimeout(moving.current.rest);
      Object.assign(moving.current, { is: true, zoom });
      frame.current?.setAttribute("data-moving", "");
    },
    onChange: ({ zoom }) => {
      const { current } = moving;
      if (zoom !== current.zoom) detail.hold();
      else if (performance.now() - current.lookedAt > LOOK_MS) look();
      current.zoom = zoom;
    },
    onEnd: () => {
      clearTimeout(moving.current.rest);
      moving.current.rest = setTimeout(() => {
        moving.current.is = false;
        glide.end();
        frame.current?.removeAttribute("data-moving");
        look();
      }, REST_MS);
    },
  });
  return detail;
}
