import { expect, test } from "vitest";
import { between, inOrder, keyAt } from "./order";

test("a key lies between its neighbours, however often one inserts at one place", () => {
  let low: string | null = null;
  let high: string | null = null;
  for (let i = 0; i < 200; i += 1) {
    const key: string = between(low, high);
    if (low !== null) expect(key > low).toBe(true);
    if (high !== null) expect(key < high).toBe(true);
    if (i % 2) low = key;
    else high = key;
  }
});

test("appending keeps keys short", () => {
  let last: string | null = null;
  for (let i = 0; i < 500; i += 1) last = between(last, null);
  expect(last?.length).toBeLessThan(20);
});

test("prepending keeps the order", () => {
  let first = between(null, null);
  for (let i = 0; i < 100; i += 1) {
    const next = between(null, first);
    expect(next < first).toBe(true);
    first = next;
  }
});

test("equal keys of two people stand in the order of their ids, for everyone", () => {
  const clips = [
    { id: "b", order: "V" },
    { id: "a", order: "V" },
    { id: "c", order: "A" },
  ];
  expect([...clips].sort(inOrder).map((clip) => clip.id)).toEqual(["c", "a", "b"]);
});

test("a key between equal neighbours is still a key", () => {
  expect(keyAt([{ order: "V" }, { order: "V" }], 1) > "V").toBe(true);
});

test("random inserts sort as they were made", () => {
  const keys: string[] = [];
  let seed = 7;
  for (let i = 0; i < 400; i += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    const at = seed % (keys.length + 1);
    keys.splice(at, 0, between(keys[at - 1] ?? null, keys[at] ?? null));
  }
  expect([...keys].sort()).toEqual(keys);
});

test("a neighbour that leaves no room ends in a key, not in a loop", () => {
  expect(between(null, "0")).toBeTruthy();
  expect(between("A", "A0")).toBeTruthy();
});
