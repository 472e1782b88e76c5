import { expect, test } from "vitest";
import { found } from "./palette";

const GROUPS = [
  {
    heading: "Go to",
    entries: [
      { id: "a", name: "Account", also: "password export" },
      { id: "r", name: "Runs" },
    ],
  },
  {
    heading: "Tools",
    entries: [
      { id: "t-1", name: "Upscale" },
      { id: "t-2", name: "Cut out" },
    ],
  },
  { heading: "Community", entries: [{ id: "p-0f3a", name: "Late light", found: true }] },
];
const names = (typed: string) => found(GROUPS, typed).map((group) => group.entries.map((one) => one.name).join(","));

test("with nothing typed everything stands in its place", () =>
  expect(names("")).toEqual(["Account,Runs", "Upscale,Cut out", "Late light"]));
test("the group with the best answer comes first", () => expect(names("up")[0]).toMatch(/^Upscale/));
test("other words find it too", () => expect(names("export")[0]).toBe("Account"));
test("what the server found stays, after what fits by name", () => {
  expect(names("cut out").at(-1)).toBe("Late light");
  expect(names("zzzz")).toEqual(["Late light"]);
});
test("what the server finds later moves nothing that stands there", () =>
  expect(
    found([...GROUPS, { heading: "Boards", entries: [{ id: "b", name: "A late light" }] }], "late light").map(
      ({ heading }) => heading,
    ),
  ).toEqual(["Boards", "Community"]));
test("the end of an id finds what it names", () => expect(names("0f3a")[0]).toBe("Late light"));
