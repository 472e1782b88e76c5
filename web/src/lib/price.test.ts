import { expect, test } from "vitest";
import { priceWords } from "./price";

const input = { properties: { image: { title: "Picture" }, scale: { title: "Scale" }, text: {} } };

test("a formula reads as words", () => {
  expect(
    priceWords(
      {
        minimum: 20_000,
        lines: [
          { label: "Start", amount: 10_000 },
          { label: "Output pixels", amount: 40_000, times: [{ megapixels: "image" }, { number: "scale", power: 2 }] },
        ],
      },
      input,
    ),
  ).toEqual([
    "0.01 credits to begin with",
    "0.04 credits a megapixel of Picture, times Scale squared",
    "at least 0.02 credits",
  ]);
});

test("a factor that is not known is named by its field", () => {
  expect(priceWords({ lines: [{ amount: 50, times: [{ characters: "text" }] }] }, input)).toEqual([
    "0.00005 credits a character of Text",
  ]);
  expect(priceWords({}, input)).toEqual([]);
});
