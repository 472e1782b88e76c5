import { expect, test } from "vitest";
import { tagOf } from "./words";

test.each([
  ["Golden Hour!", "golden-hour"],
  ["#night", "night"],
  ["  日本 ", "日本"],
  ["!!!", ""],
])("the tag of %j is %j", (text, tag) => expect(tagOf(text)).toBe(tag));
