import { expect, test } from "vitest";
import type { JsonSchema } from "../api/types";
import { fieldsOf, initialValues, inputOf, takeLabel } from "./schema";

const animate: JsonSchema = {
  type: "object",
  required: ["image"],
  properties: {
    seconds: { type: "integer", title: "Length", minimum: 1, maximum: 8, default: 3, "x-ui": { order: 3, unit: "s" } },
    image: { type: "string", format: "asset", title: "Picture", "x-ui": { order: 1 } },
    move: {
      type: "string",
      enum: ["zoom_in", "pan_left"],
      default: "zoom_in",
      "x-ui": { order: 2, labels: { zoom_in: "Zoom in" } },
    },
    loop: { type: "boolean" },
    note: { type: ["string", "null"], maxLength: 40 },
  },
};

test("fields come in the manifest's order, the rest as they are written", () => {
  expect(fieldsOf(animate).map((field) => [field.name, field.kind])).toEqual([
    ["image", "asset"],
    ["move", "choice"],
    ["seconds", "number"],
    ["loop", "switch"],
    ["note", "text"],
  ]);
});

test("an option without a label of its own becomes words", () => {
  const move = fieldsOf(animate)[1];
  expect(move?.kind === "choice" && move.options.map((option) => option.label)).toEqual(["Zoom in", "Pan left"]);
});

test("defaults fill the form, and the asset goes into the field that takes one", () => {
  const fields = fieldsOf(animate);
  const values = initialValues(fields);
  expect(values).toEqual({ move: "zoom_in", seconds: 3, loop: false });
  expect(inputOf(fields, values, "a1")).toEqual({ image: "a1", move: "zoom_in", seconds: 3, loop: false });
});

test("what is left empty is not sent", () => {
  expect(inputOf(fieldsOf(animate), { move: "pan_left", seconds: undefined, note: "" }, "a1")).toEqual({
    image: "a1",
    move: "pan_left",
  });
});

test("a take is named by its parameters", () => {
  expect(takeLabel({ image: "a1", move: "zoom_in", seconds: 3, aspect: "16:9" })).toBe("Zoom in · 3 s · 16:9");
  expect(takeLabel({ image: "a1", scale: 4 })).toBe("4×");
});
