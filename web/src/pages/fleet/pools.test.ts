import { expect, test } from "vitest";
import { agentName } from "./agents";
import { hazard } from "./Pools";

test("how often a machine is taken away is said in words", () => {
  expect(hazard(0)).toBe("never yet");
  expect(hazard(2.5)).toBe("2.5 an hour");
  expect(hazard(0.125)).toBe("once in 8 h");
  expect(hazard(1 / 240)).toBe("once in 10 days");
});

test("a machine of a pool is called by the end of its id", () => {
  expect(agentName("m01a20a020a9371f9977ca8f4e6795f45")).toBe("Machine e6795f45");
  expect(agentName("eu-west-1a")).toBe("eu-west-1a");
});
