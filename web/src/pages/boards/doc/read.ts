import * as Y from "yjs";
import { inOrder } from "./order";
import {
  NODE_KINDS,
  NODE_PX_MAX,
  NODE_PX_MIN,
  SIZES,
  TRACK_KINDS,
  TRANSITIONS,
  type BoardEdge,
  type BoardNode,
  type Clip,
  type Track,
} from "./types";

export type Shared = Y.Map<unknown>;

/** Any program may write the document: what is not as it should be is read as its default, or not at all. */
const PLACE_MAX = 1_000_000;

export function readNode(id: string, shared: Shared): BoardNode | null {
  const kind = oneOf(NODE_KINDS, shared.get("kind"));
  if (!kind) return null;
  const size = SIZES[kind];
  const take = shared.get("chosen_take");
  const params = shared.get("params");
  return {
    id,
    kind,
    x: number(shared.get("x"), 0, -PLACE_MAX, PLACE_MAX),
    y: number(shared.get("y"), 0, -PLACE_MAX, PLACE_MAX),
    w: number(shared.get("w"), size.w, NODE_PX_MIN, NODE_PX_MAX),
    h: number(shared.get("h"), size.h, kind === "group" ? NODE_PX_MIN : 40, NODE_PX_MAX),
    params: params instanceof Y.Map ? (params.toJSON() as Record<string, unknown>) : plain(params),
    chosenTake: typeof take === "string" && take ? take : null,
  };
}

export function readEdge(id: string, shared: Shared): BoardEdge | null {
  const { from, from_port, to, to_port } = shared.toJSON() as Record<string, unknown>;
  if (typeof from !== "string" || typeof to !== "string" || from === to) return null;
  return { id, from, fromPort: text(from_port, "out"), to, toPort: text(to_port, "in") };
}

export function readTrack(id: string, shared: Shared): Track | null {
  const kind = oneOf(TRACK_KINDS, shared.get("kind")) ?? "video";
  const clips = shared.get("clips");
  const list = clips instanceof Y.Map ? [...clips.entries()] : [];
  return {
    id,
    kind,
    clips: list.flatMap(([clipId, clip]) => (clip instanceof Y.Map ? [readClip(clipId, id, clip)] : [])).sort(inOrder),
  };
}

const CLIP_MS_MAX = 4 * 3_600_000;

function readClip(id: string, track: string, shared: Shared): Clip {
  const inMs = number(shared.get("in_ms"), 0, 0, CLIP_MS_MAX);
  const outMs = number(shared.get("out_ms"), 0, 0, CLIP_MS_MAX);
  return {
    id,
    track,
    node: text(shared.get("node"), ""),
    order: text(shared.get("order"), "V"),
    inMs,
    outMs: outMs > 0 ? Math.max(inMs, outMs) : null,
    transition: oneOf(TRANSITIONS, shared.get("transition")) ?? "cut",
    transitionMs: number(shared.get("transition_ms"), 0, 0, CLIP_MS_MAX),
  };
}

function number(value: unknown, otherwise: number, min: number, max: number): number {
  const read = typeof value === "bigint" ? Number(value) : value;
  return typeof read === "number" && Number.isFinite(read) ? Math.min(max, Math.max(min, read)) : otherwise;
}
function text(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}
function oneOf<T extends string>(all: readonly T[], value: unknown): T | undefined {
  return all.find((one) => one === value);
}
function plain(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
