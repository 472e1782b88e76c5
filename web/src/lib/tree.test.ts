import { expect, test } from "vitest";
import { treeOf } from "./tree";

const node = (id: string) => ({
  id,
  title: id,
  author: { handle: id, name: id, avatar_url: null },
  preview_url: null,
  removed: false,
  created_at: "2026-11-23T10:00:00Z",
});
const placed = (ids: string, edges: string) =>
  treeOf({
    truncated: false,
    nodes: [...ids].map(node),
    edges: edges
      .split(" ")
      .filter(Boolean)
      .map((edge) => ({ from: edge[0] ?? "", to: edge[1] ?? "" })),
  })
    .map((one) => `${one.node.id}${one.depth}${one.row}`)
    .join(" ");

test("one post stands alone", () => expect(placed("a", "")).toBe("a00"));
test("a parent stands in the row of its first child", () => expect(placed("abc", "ab ac")).toBe("a00 b10 c11"));
test("a grandchild goes on to the right, the next branch below it", () =>
  expect(placed("abcd", "ab ac bd")).toBe("a00 b10 d20 c11"));
test("parents come before their children whatever the order of arrival", () =>
  expect(placed("cba", "ab bc")).toBe("a00 b10 c20"));
test("what hangs on nothing that is there begins its own line", () => expect(placed("ab", "xb")).toBe("a00 b01"));
test("a cycle ends", () => expect(placed("ab", "ab ba")).toBe("a00 b10"));
