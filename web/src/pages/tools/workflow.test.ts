import { expect, test } from "vitest";
import { readWorkflow, toolName } from "./workflow";

test("an exported workflow is read", () =>
  expect(Object.keys(readWorkflow('{"3":{"class_type":"KSampler","inputs":{"seed":1}}}'))).toEqual(["3"]));

test.each([
  ["not json", /no JSON/],
  ["[]", /no workflow/],
  ['{"nodes":[],"links":[]}', /editor’s own format/],
  ["{}", /API format/],
  ['{"3":{"inputs":{}}}', /class_type/],
])("%j says what is wrong with it", (text, message) => expect(() => readWorkflow(text)).toThrow(message));

test("a file’s name becomes a tool’s", () => expect(toolName("2 My Film Stock (v2).json")).toBe("my-film-stock-v2-"));
