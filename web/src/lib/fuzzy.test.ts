import { expect, test } from "vitest";
import { fuzzy } from "./fuzzy";

const first = (typed: string, ...names: string[]) =>
  names
    .map((name) => ({ name, fits: fuzzy(name, typed) }))
    .filter((one) => one.fits > 0)
    .sort((a, b) => b.fits - a.fits)[0]?.name;

test("letters in order are enough", () => {
  expect(fuzzy("Boardroom", "bdrm")).toBeGreaterThan(0);
  expect(fuzzy("Boardroom", "mrdb")).toBe(0);
});
test("every word must fit, in any order", () => {
  expect(fuzzy("Make an API key", "key api")).toBeGreaterThan(0);
  expect(fuzzy("Make an API key", "key film")).toBe(0);
});
test("a beginning wins over a middle, letters in a row over scattered ones", () => {
  expect(first("run", "Prune it", "Runs")).toBe("Runs");
  expect(first("ak", "Break", "API keys")).toBe("API keys");
  expect(first("team", "The early morning", "Team")).toBe("Team");
});
test("a short name wins over a long one that fits as well", () =>
  expect(first("board", "Board of the long afternoon and what came after", "Board")).toBe("Board"));
test("nothing typed fits everything", () => expect(fuzzy("Anything", " ")).toBe(1));
test("a hundred letters on a thousand do not take long", () => {
  const begun = performance.now();
  fuzzy("ab".repeat(500), "a".repeat(100));
  expect(performance.now() - begun).toBeLessThan(200);
});
