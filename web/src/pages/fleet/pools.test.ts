import { expect, test } from "vitest";
import { hazard } from "./Pools";

test("how often a machine is taken away is said in words", () => {
  expect(hazard(0)).toBe("never yet");
  expect(hazard(2.5)).toBe("2.5 an hour");
  expect(hazard(0.125)).toBe("once in 8 h");
  expect(hazard(1 / 240)).toBe("once in 10 days");
});
