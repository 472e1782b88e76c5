import { useStoreApi, type Viewport } from "@xyflow/react";
import { useEffect, useMemo, useState } from "react";
import { Glide } from "./glide";

/** Asked of a frame: a press that begins there, and not in a picture that was moved. */
const SETTLING = ["pointerdown", "dblclick", "dragover", "drop", "keydown"] as const;
const MODIFIERS = new Set(["Control", "Meta", "Shift", "Alt"]);
/** React Flow leaves the view to whoever gives it one; it never changes by this one. */
const GIVEN: Viewport = { x: 0, y: 0, zoom: 1 };

/** The board's view, and what React Flow has to be given for it. */
export function useGlide(frame: React.RefObject<HTMLDivElement | null>, isMovable: boolean) {
  const store = useStoreApi();
  const [glide] = useState(
    () =>
      new Glide({
        move: (transform) => {
          const pane = frame.current?.querySelector<HTMLElement>(".react-flow__pane");
          if (pane) pane.style.transform = transform;
        },
        draw: ({ x, y, zoom }) => store.setState({ transform: [x, y, zoom] }),
      }),
  );
  useEffect(() => {
    const element = frame.current;
    // What is pressed, dropped or typed asks where things are. A second finger goes on with the gesture of the first.
    const settle = (event: Event) => {
      if (event instanceof KeyboardEvent && MODIFIERS.has(event.key)) return;
      if (event instanceof PointerEvent && event.pointerType === "touch") glide.settle();
      else glide.end();
    };
    for (const type of SETTLING) (type === "keydown" ? window : element)?.addEventListener(type, settle, true);
    return () => {
      for (const type of SETTLING) (type === "keydown" ? window : element)?.removeEventListener(type, settle, true);
    };
  }, [frame, glide]);
  const given = useMemo(
    () => ({
      viewport: GIVEN,
      onViewportChange: (view: Viewport) => glide.change(view),
      // Only a person's gesture, and none while something is held: what is dragged is where the pointer is.
      onMoveStart: (event: unknown) => {
        if (isMovable && event && !(event instanceof WheelEvent && event.buttons !== 0)) glide.begin();
      },
    }),
    [glide, isMovable],
  );
  return { glide, given };
}

/** A number that changes would have the page laid out anew in every frame of a gesture. */
const SAY_MS = 1_000;

/** How near one looks, in percent: said whenever the board is drawn, and now and then while a gesture goes on. */
export function usePercent(glide: Glide): number {
  const [percent, setPercent] = useState(percentOf(glide));
  useEffect(() => {
    let due: ReturnType<typeof setTimeout> | undefined;
    const say = () => {
      clearTimeout(due);
      due = undefined;
      setPercent(percentOf(glide));
    };
    const stop = glide.subscribe(() => {
      if (glide.isDrawn) say();
      else due ??= setTimeout(say, SAY_MS);
    });
    say();
    return () => {
      stop();
      clearTimeout(due);
    };
  }, [glide]);
  return percent;
}
const percentOf = (glide: Glide) => Math.round(glide.view.zoom * 100);
