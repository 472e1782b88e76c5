import { expect, test } from "vitest";
import { idempotencyKey, keyLabel, randomId } from "./keys";

test("an id is a UUID, and a key says nothing", () => {
  expect(randomId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(idempotencyKey()).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(Array.from({ length: 100 }, randomId)).size).toBe(100);
});

test.each([
  ["⌘K", true, "⌘K"],
  ["⌘K", false, "Ctrl K"],
  ["⇧⌘Z", false, "Shift Ctrl Z"],
  ["g", false, "g"],
])("%s on a keyboard of Apple’s: %s, reads %s", (keys, isApple, label) => expect(keyLabel(keys, isApple)).toBe(label));
