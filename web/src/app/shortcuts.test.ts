import { expect, test } from "vitest";
import { keyName } from "./shortcuts";

const pressed = (key: string, mods = {}) => keyName({ key, metaKey: false, ctrlKey: false, altKey: false, ...mods });

test("control and command are one", () => {
  expect(pressed("k", { metaKey: true })).toBe("mod+k");
  expect(pressed("Enter", { ctrlKey: true })).toBe("mod+enter");
});
test("a capital is the same key", () => expect(pressed("U")).toBe("u"));
