import { expect, test } from "vitest";
import type { JsonSchema } from "../api/types";
import { fieldsOf, initialValues, inputOf, mediaOf, missing, needsAsset, stageField, takeLabel } from "./schema";

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

const grade: JsonSchema = {
  type: "object",
  required: ["image", "music", "text"],
  properties: {
    image: { type: "string", format: "asset", title: "Picture", "x-asset": { content_types: ["image/png"] } },
    music: { type: "string", format: "asset", title: "Sound", "x-asset": { content_types: ["audio/wav"] } },
    text: { type: "string", title: "Text" },
  },
};

test("what is on the stage goes into the field that takes such media", () => {
  const fields = fieldsOf(grade);
  expect(stageField(fields, "audio/wav")?.name).toBe("music");
  expect(stageField(fields, "image/png")?.name).toBe("image");
  expect(inputOf(fields, { image: "p1", text: "hi" }, "s1", "audio/wav")).toEqual({
    image: "p1",
    music: "s1",
    text: "hi",
  });
  expect(fields.map((field) => field.kind === "asset" && mediaOf(field).join())).toEqual(["image", "audio", false]);
});

test("what is missing is said one after the other", () => {
  const fields = fieldsOf(grade);
  expect(missing(fields, {})).toBe("Choose a photograph first");
  expect(missing(fields, { image: "p1" })).toBe("“Sound” is still empty");
  expect(missing(fields, { image: "p1", music: "s1" })).toBe("“Text” is still empty");
  expect(missing(fields, { image: "p1", music: "s1", text: "hi" })).toBeNull();
});

test("a tool of words alone needs nothing on the stage", () => {
  expect(needsAsset(grade)).toBe(true);
  expect(needsAsset({ type: "object", required: ["text"], properties: { text: { type: "string" } } })).toBe(false);
});

test("a take of a long text is named by its beginning, and never by an id", () => {
  expect(takeLabel({ text: "A rocket stands at dusk, and nobody speaks. Then the lights come on.", speed: 1 })).toBe(
    "A rocket stands at dusk, and nobody spea… · Speed 1",
  );
  expect(takeLabel({ reference: "01935f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa", mode: "mean" })).toBe("Mean");
});

test("a film's take is called by its cut and size, not by its numbers", () =>
  expect(takeLabel({ clips: [{}, {}], assets: [], seconds: 4, width: 1280, height: 720, fps: 24 })).toBe(
    "2 clips · 1280 × 720",
  ));
