import { expect, test } from "vitest";
import { keepTyped, takeTyped } from "./early";

function press(target: EventTarget, key: string, more: object = {}): boolean {
  return target.dispatchEvent(Object.assign(new Event("keydown", { cancelable: true }), { key, ...more }));
}

test("what is typed before the field is there is not lost, and does nothing else", () => {
  const page = new EventTarget() as unknown as Window;
  keepTyped(page);
  expect(press(page, "r")).toBe(false);
  press(page, "x");
  press(page, "Backspace");
  press(page, "ö");
  expect(press(page, "Escape")).toBe(true);
  expect(press(page, "k", { ctrlKey: true })).toBe(true);
  expect(takeTyped()).toBe("rö");
  expect(press(page, "z")).toBe(true);
  expect(takeTyped()).toBe("");
});
