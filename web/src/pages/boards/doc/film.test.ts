import { expect, test } from "vitest";
import { filmClock, filmMs, onScreen, placed as place, trimmed } from "./film";
import type { Clip } from "./types";

const clip = (id: string, ms: number, fade = 0): Clip => ({
  id,
  track: "video",
  node: id,
  order: id,
  inMs: 500,
  outMs: 500 + ms,
  transition: fade ? "cross_fade" : "cut",
  transitionMs: fade,
});

const placed = (clips: Clip[]) => place(clips, () => 10_000);

test("a clip without an end goes to its source's, and a still stands for three seconds", () => {
  const open = { ...clip("a", 0), outMs: null };
  expect(place([open], () => 2_500)[0]?.endMs).toBe(2_000);
  expect(place([open], () => null)[0]?.endMs).toBe(3_000);
});

test("clips follow each other, and a cross-fade shortens the film", () => {
  expect(
    placed([clip("a", 2_000), clip("b", 3_000, 500), clip("c", 1_000)]).map((one) => [one.startMs, one.endMs]),
  ).toEqual([
    [0, 2_000],
    [1_500, 4_500],
    [4_500, 5_500],
  ]);
});

test("the first clip cannot fade from anything, and no fade eats more than half a clip", () => {
  expect(placed([clip("a", 1_000, 800), clip("b", 400, 900)]).map((one) => one.fadeMs)).toEqual([0, 200]);
});

test("within a fade two clips are on screen, at the very end the last one stays", () => {
  const film = placed([clip("a", 2_000), clip("b", 2_000, 500)]);
  expect(onScreen(film, 1_600).map((one) => one.clip.id)).toEqual(["a", "b"]);
  expect(onScreen(film, 3_500).map((one) => one.clip.id)).toEqual(["b"]);
  expect(onScreen([], 0)).toEqual([]);
});

test("a trim stays inside of its source", () => {
  expect(trimmed(-100, 9_000, 3_000)).toEqual({ inMs: 0, outMs: 3_000 });
  expect(trimmed(2_950, 2_960, 3_000)).toEqual({ inMs: 2_800, outMs: 3_000 });
  expect(trimmed(0, 60_000, null)).toEqual({ inMs: 0, outMs: 60_000 });
});

test("time reads as on a film", () => {
  expect([filmClock(0), filmClock(7_449), filmClock(61_250)]).toEqual(["0:00.0", "0:07.4", "1:01.3"]);
});

test("an empty film has no length", () => expect(filmMs(placed([]))).toBe(0));
