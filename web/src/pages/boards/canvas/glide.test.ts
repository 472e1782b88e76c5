import { describe, expect, test } from "vitest";
import { between, Glide } from "./glide";

const START = { x: 100, y: 50, zoom: 1 };

function stage() {
  const said: string[] = [];
  const glide = new Glide({
    move: (transform) => said.push(transform ? `move ${transform}` : "in place"),
    draw: ({ x, y, zoom }) => said.push(`draw ${x} ${y} ${zoom}`),
  });
  glide.change(START);
  return { glide, said: said.splice(0) && said };
}

describe("what was drawn", () => {
  test("moves with the view", () => {
    expect(between(START, { x: 130, y: 40, zoom: 1 })).toBe("translate(30px, -10px) scale(1)");
  });
  test("grows around where it was drawn", () => {
    // The board's point 0, 0 is seen at 100, 50 in both: it stays there.
    expect(between(START, { ...START, zoom: 1.5 })).toBe("translate(-50px, -25px) scale(1.5)");
  });
  test("is drawn anew where it would be too coarse or too dear", () => {
    expect(between(START, { ...START, zoom: 2.1 })).toBeNull();
    expect(between(START, { ...START, zoom: 0.5 })).toBeNull();
  });
});

describe("a gesture", () => {
  test("moves what is drawn, and draws once it rests", () => {
    const { glide, said } = stage();
    glide.begin();
    glide.change({ x: 110, y: 50, zoom: 1 });
    glide.change({ x: 120, y: 50, zoom: 1 });
    glide.end();
    expect(said).toEqual([
      "move translate(10px, 0px) scale(1)",
      "move translate(20px, 0px) scale(1)",
      "draw 120 50 1",
      "in place",
    ]);
  });
  test("that goes far draws on its way, and goes on from there", () => {
    const { glide, said } = stage();
    glide.begin();
    glide.change({ x: 0, y: 0, zoom: 0.5 });
    glide.change({ x: 0, y: 0, zoom: 0.4 });
    expect(said).toEqual(["draw 0 0 0.5", "in place", "move translate(0px, 0px) scale(0.8)"]);
  });
  test("is where one sees it for whoever asks", () => {
    const { glide, said } = stage();
    glide.begin();
    glide.change({ x: 110, y: 50, zoom: 1 });
    glide.settle();
    glide.settle();
    glide.change({ x: 115, y: 50, zoom: 1 });
    expect(said.slice(1)).toEqual(["draw 110 50 1", "in place", "move translate(5px, 0px) scale(1)"]);
    expect(glide.view.x).toBe(115);
  });
});

test("what is not a gesture is drawn at once", () => {
  const { glide, said } = stage();
  glide.change({ x: 5, y: 5, zoom: 0.9 });
  expect(said).toEqual(["draw 5 5 0.9", "in place"]);
});
