import type { Clip } from "./types";

/** How long a still stands when nobody said how long. */
export const STILL_MS = 3_000;
export const CLIP_MS_MIN = 200;
export const FADE_MS = 500;

/** A clip at its place in the film. A cross-fade overlaps with the clip before, so the film is shorter by it. */
export interface Placed {
  clip: Clip;
  startMs: number;
  endMs: number;
  fadeMs: number;
}

/** How long the source of a clip is; null for a still, or while nobody knows. */
export type SourceMs = (clip: Clip) => number | null;

export function lengthOf(clip: Clip, sourceMs: SourceMs): number {
  const end = clip.outMs ?? sourceMs(clip) ?? clip.inMs + STILL_MS;
  return Math.max(0, end - clip.inMs);
}

/** A fade is never longer than half of either of its clips. */
export function fadeOf(clip: Clip, before: Clip | undefined, sourceMs: SourceMs): number {
  if (!before || clip.transition !== "cross_fade") return 0;
  return Math.min(clip.transitionMs, lengthOf(clip, sourceMs) / 2, lengthOf(before, sourceMs) / 2);
}

export function placed(clips: readonly Clip[], sourceMs: SourceMs): Placed[] {
  let at = 0;
  return clips.map((clip, index) => {
    const fadeMs = fadeOf(clip, clips[index - 1], sourceMs);
    const startMs = at - fadeMs;
    at = startMs + lengthOf(clip, sourceMs);
    return { clip, startMs, endMs: at, fadeMs };
  });
}

export function filmMs(film: readonly Placed[]): number {
  return film.at(-1)?.endMs ?? 0;
}

/** The clips on screen at a moment: one, or two within a fade. */
export function onScreen(film: readonly Placed[], atMs: number): Placed[] {
  const shown = film.filter((one) => one.startMs <= atMs && atMs < one.endMs);
  const last = film.at(-1);
  return shown.length || !last || atMs < last.endMs ? shown : [last];
}

/** "0:07.4": minutes, seconds, tenths. */
export function filmClock(ms: number): string {
  const tenths = Math.max(0, Math.round(ms / 100));
  const minutes = Math.floor(tenths / 600);
  const seconds = Math.floor((tenths % 600) / 10);
  return `${minutes}:${String(seconds).padStart(2, "0")}.${tenths % 10}`;
}

/** Keeps a trim inside of what the source has and long enough to be seen. `sourceMs` is null for a still. */
export function trimmed(inMs: number, outMs: number, sourceMs: number | null): { inMs: number; outMs: number } {
  const end = sourceMs ?? Number.MAX_SAFE_INTEGER;
  const from = Math.min(Math.max(0, inMs), Math.max(0, end - CLIP_MS_MIN));
  return { inMs: from, outMs: Math.min(Math.max(outMs, from + CLIP_MS_MIN), end) };
}
