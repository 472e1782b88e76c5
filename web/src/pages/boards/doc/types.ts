/** What a board's document says, as plain values. Only `board.ts` knows that a CRDT is behind it. */
export const NODE_KINDS = ["image", "video", "audio", "prompt", "tool", "shot", "note", "group"] as const;
export type NodeKind = (typeof NODE_KINDS)[number];

export interface BoardNode {
  readonly id: string;
  readonly kind: NodeKind;
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly chosenTake: string | null;
}

export interface BoardEdge {
  readonly id: string;
  readonly from: string;
  readonly fromPort: string;
  readonly to: string;
  readonly toPort: string;
}

export interface Clip {
  readonly id: string;
  readonly track: string;
  readonly node: string;
  /** A fractional index: clips stand in the order of these strings, and of their ids where two are equal. */
  readonly order: string;
  readonly inMs: number;
  /** Null: at the end of its source, or after a still's usual time. */
  readonly outMs: number | null;
  readonly transition: TransitionKind;
  readonly transitionMs: number;
}

export interface Track {
  readonly id: string;
  readonly kind: TrackKind;
  readonly clips: readonly Clip[];
}

export const TRACK_KINDS = ["video", "audio"] as const;
export type TrackKind = (typeof TRACK_KINDS)[number];
export const TRANSITIONS = ["cut", "cross_fade"] as const;
export type TransitionKind = (typeof TRANSITIONS)[number];

export interface NewNode {
  kind: NodeKind;
  x: number;
  y: number;
  w?: number;
  h?: number;
  params?: Record<string, unknown>;
}

/** How large a node is when it arrives. */
export const SIZES: Readonly<Record<NodeKind, { w: number; h: number }>> = {
  image: { w: 280, h: 188 },
  video: { w: 280, h: 188 },
  audio: { w: 280, h: 88 },
  prompt: { w: 280, h: 136 },
  tool: { w: 280, h: 190 },
  shot: { w: 240, h: 168 },
  note: { w: 220, h: 140 },
  group: { w: 720, h: 420 },
};

export const NODE_PX_MIN = 80;
export const NODE_PX_MAX = 4_000;
