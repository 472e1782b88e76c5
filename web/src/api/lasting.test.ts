import { expect, test } from "vitest";
import { Lasting } from "./lasting";

const KIB = 1024;

test("small requests last, until they take more than a browser lets through", () => {
  const lasting = new Lasting();
  const first = lasting.take("a".repeat(20 * KIB));
  const second = lasting.take("a".repeat(20 * KIB));
  const third = lasting.take("a".repeat(20 * KIB));
  expect([first, second, third]).not.toContain(null);
  expect(lasting.take("a")).toBeNull();
  first?.();
  expect(lasting.take("a")).not.toBeNull();
});

test("a large one ends with its page", () => {
  expect(new Lasting().take("a".repeat(64 * KIB))).toBeNull();
  // Three bytes each.
  expect(new Lasting().take("\u20ac".repeat(21 * KIB))).toBeNull();
});

test("so many at once, and no more", () => {
  const lasting = new Lasting();
  const all = Array.from({ length: 9 }, () => lasting.take(""));
  expect(all.filter((one) => one === null)).toHaveLength(1);
});
