import { expect, test } from "vitest";
import { landing, portsOf, refusal } from "./ports";

const animate = portsOf({
  required: ["image"],
  properties: {
    image: {
      type: "string",
      format: "asset",
      title: "Picture",
      "x-asset": { content_types: ["image/png", "image/jpeg"] },
    },
    move: { type: "string", enum: ["zoom_in"] },
    seconds: { type: "integer" },
    sound: { type: "string", format: "asset", "x-asset": { content_types: ["audio/wav"] } },
    caption: { type: "string" },
  },
} as Parameters<typeof portsOf>[0]);

test("media and free text can be led in, numbers and choices cannot", () => {
  expect(animate.map((port) => [port.name, port.takes, port.required])).toEqual([
    ["image", ["image"], true],
    ["sound", ["audio"], false],
    ["caption", ["text"], false],
  ]);
});

test("a mismatch says what is taken and what was offered", () => {
  expect(refusal("image", animate[0])).toBeNull();
  expect(refusal("audio", animate[0])).toBe("Picture takes a picture; this makes a sound");
  expect(refusal("image", animate[2])).toBe("Caption takes text; this makes a picture");
});

test("what is dropped on a node lands on the first free port that takes it", () => {
  const two = portsOf({
    properties: {
      first: { type: "string", format: "asset", "x-asset": { content_types: ["image/png"] } },
      last: { type: "string", format: "asset", "x-asset": { content_types: ["image/png"] } },
    },
  } as Parameters<typeof portsOf>[0]);
  expect(landing("image", two, new Set())?.name).toBe("first");
  expect(landing("image", two, new Set(["first"]))?.name).toBe("last");
  expect(landing("image", two, new Set(["first", "last"]))?.name).toBe("first");
  expect(landing("audio", two, new Set())).toBeUndefined();
});
