import type { Viewport } from "@xyflow/react";

/** What is drawn on, and how it is moved: the parts of React Flow and of the page that a gesture touches. */
export interface Stage {
  /** Moves what is drawn, without drawing it anew; an empty text puts it where it was drawn. */
  move: (transform: string) => void;
  /** Draws all at this place and scale. */
  draw: (view: Viewport) => void;
}

/** What was drawn at one scale looks well, and is cheap to show, between these; beyond, it is drawn anew. */
const SCALE_MIN = 0.6;
const SCALE_MAX = 2;

/**
 * Where one looks at the board. A gesture's frames move what is drawn, as one picture; the board is drawn at its own
 * scale again when the gesture rests, when it went too far for the picture, and before anything asks where things are.
 */
export class Glide {
  /** As one sees it. */
  view: Viewport = { x: 0, y: 0, zoom: 1 };
  /** As it is drawn. */
  private drawn: Viewport = this.view;
  private gliding = false;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly stage: Stage) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** The frames that come now belong to a gesture. */
  begin(): void {
    this.gliding = true;
  }

  change(view: Viewport): void {
    this.view = view;
    const transform = this.gliding ? between(this.drawn, view) : null;
    if (transform === null) return this.settle();
    this.stage.move(transform);
    this.tell();
  }

  /** Nothing is moved any more. */
  end(): void {
    this.gliding = false;
    this.settle();
  }

  /** What is drawn is what one sees, and whoever asks where something is gets to know it. */
  settle(): void {
    if (this.drawn === this.view) return;
    this.drawn = this.view;
    this.stage.draw(this.view);
    this.stage.move("");
    this.tell();
  }

  /** Whether what one sees is drawn as it is, and nothing is in between. */
  get isDrawn(): boolean {
    return this.drawn === this.view;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** How far what was drawn at one view has to move to be seen as at another; nothing where it has to be drawn anew. */
export function between(drawn: Viewport, view: Viewport): string | null {
  const scale = view.zoom / drawn.zoom;
  if (scale < SCALE_MIN || scale > SCALE_MAX) return null;
  return `translate(${view.x - drawn.x * scale}px, ${view.y - drawn.y * scale}px) scale(${scale})`;
}
