import { expect, test } from "vitest";
import { parseProblem } from "./problem";

test("a problem document keeps its code, its title and its faults", () => {
  const { problem } = parseProblem(
    422,
    JSON.stringify({
      type: "/docs/errors/bad_input",
      title: "T",
      status: 422,
      detail: "D",
      code: "bad_input",
      errors: [{ pointer: "/scale", message: "m" }],
    }),
  );
  expect(problem).toMatchObject({ code: "bad_input", title: "T", errors: [{ pointer: "/scale", message: "m" }] });
});

test("an answer that is no problem document is still said", () => {
  expect(parseProblem(502, "<html>bad gateway").problem).toMatchObject({
    code: "http_502",
    status: 502,
    title: "The server answered 502",
  });
});
