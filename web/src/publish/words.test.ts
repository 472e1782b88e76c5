import { expect, test } from "vitest";
import { handleOf, tagOf } from "./words";

test.each([
  ["Golden Hour!", "golden-hour"],
  ["#night", "night"],
  ["  日本 ", "日本"],
  ["!!!", ""],
])("the tag of %j is %j", (text, tag) => expect(tagOf(text)).toBe(tag));

test.each([
  ["Ada Oyelaran", "ada_oyelaran"],
  ["Ünïcödé Näme", "unicode_name"],
  ["42 is it", "is_it"],
])("the handle of %j is %j", (text, handle) => expect(handleOf(text)).toBe(handle));
