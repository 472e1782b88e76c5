import { expect, test } from "vitest";
import { parameterFacts } from "./provenance";

test("a film's settings are read, not its clips as data", () =>
  expect(
    parameterFacts("film", {
      clips: [{ track: 0 }, { track: 0 }],
      seconds: 4,
      length_ms: 4_000,
      width: 1_280,
      height: 720,
      fps: 24,
      loudness_lufs: -16,
    }),
  ).toEqual([
    ["Cut", "2 clips"],
    ["Frames a second", "24"],
    ["Loudness", "−16 LUFS"],
  ]));

test("a seed is a number without commas, a switch is a word, and what is unset is not said", () =>
  expect(parameterFacts("upscale", { seed: 12_345, sharpen: true, negative: "", mask: null, fade_ms: 1_500 })).toEqual([
    ["Seed", "12345"],
    ["Sharpen", "yes"],
    ["Fade", "1.5 s"],
  ]));

test("whoever shares nothing has nothing shown", () => expect(parameterFacts("upscale", null)).toEqual([]));
