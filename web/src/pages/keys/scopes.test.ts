import { expect, test } from "vitest";
import { scopeList, scopeWords } from "./scopes";

test("writing includes looking", () => {
  expect(scopeList({ assets: "write", billing: "read", tools: "none" })).toEqual([
    "assets:read",
    "assets:write",
    "billing:read",
  ]);
});
test("scopes read as words", () => {
  expect(scopeWords([])).toBe("everything");
  expect(scopeWords(["assets:read", "assets:write", "billing:read"])).toBe("Library; look at Credits");
  expect(scopeWords(["x:read"])).toBe("look at x");
});
