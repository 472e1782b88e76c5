import { expect, test } from "vitest";
import { editBetween, shifted } from "./text";

function check(before: string, after: string) {
  const edit = editBetween(before, after);
  if (!edit) return before === after;
  return before.slice(0, edit.at) + edit.inserted + before.slice(edit.at + edit.removed) === after;
}

test("an edit turns the one text into the other", () => {
  for (const [before, after] of [
    ["", "a"],
    ["a lamp", "a red lamp"],
    ["aaa", "aa"],
    ["abc", "xyz"],
    ["same", "same"],
    ["rain 🌧 falls", "rain 🌦 falls"],
    ["🌧🌧", "🌧"],
  ] as const)
    expect(check(before, after)).toBe(true);
});

test("typing is one small edit, not a new text", () => {
  expect(editBetween("a lamp", "a red lamp")).toEqual({ at: 2, removed: 0, inserted: "red " });
});

test("a character of two halves is changed whole", () => {
  expect(editBetween("🌧", "🌦")).toEqual({ at: 0, removed: 2, inserted: "🌦" });
});

test("the caret stays with its word when somebody else types before it", () => {
  expect(shifted(5, { at: 0, removed: 0, inserted: "ab" })).toBe(7);
  expect(shifted(1, { at: 3, removed: 1, inserted: "" })).toBe(1);
  expect(shifted(4, { at: 3, removed: 5, inserted: "x" })).toBe(4);
});
