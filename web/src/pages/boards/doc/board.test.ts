import { expect, test } from "vitest";
import * as Y from "yjs";
import { Board } from "./board";

function two(): [Board, Board] {
  const one = new Board();
  const other = new Board();
  one.doc.on("update", (update: Uint8Array, origin: unknown) => {
    if (origin !== "wire") Y.applyUpdate(other.doc, update, "wire");
  });
  other.doc.on("update", (update: Uint8Array, origin: unknown) => {
    if (origin !== "wire") Y.applyUpdate(one.doc, update, "wire");
  });
  return [one, other];
}

/** Brings two boards that were apart together. */
function meet(one: Board, other: Board) {
  Y.applyUpdate(one.doc, Y.encodeStateAsUpdate(other.doc), "wire");
  Y.applyUpdate(other.doc, Y.encodeStateAsUpdate(one.doc), "wire");
}

test("what one adds the other sees", () => {
  const [one, other] = two();
  const id = one.addNode({ kind: "prompt", x: 10.4, y: 20, params: { prompt: "a lamp" } });
  expect(other.node(id)).toMatchObject({ kind: "prompt", x: 10, y: 20, w: 280, params: { prompt: "a lamp" } });
});

test("a node keeps its identity until it changes", () => {
  const board = new Board();
  const a = board.addNode({ kind: "note", x: 0, y: 0 });
  const b = board.addNode({ kind: "note", x: 0, y: 0 });
  const before = board.node(a);
  const edges = board.edges;
  board.place([{ id: b, x: 50 }]);
  expect(board.node(a)).toBe(before);
  expect(board.node(b)?.x).toBe(50);
  expect(board.edges).toBe(edges);
});

test("two people type into one prompt at once, and neither loses a word", () => {
  const one = new Board();
  const id = one.addNode({ kind: "prompt", x: 0, y: 0, params: { prompt: "a lamp" } });
  const other = new Board();
  meet(one, other);
  one.setText(id, "prompt", "a red lamp");
  other.setText(id, "prompt", "a lamp in the rain");
  meet(one, other);
  expect(one.node(id)?.params.prompt).toBe("a red lamp in the rain");
  expect(other.node(id)).toEqual(one.node(id));
});

test("two people change two fields of one tool", () => {
  const one = new Board();
  const id = one.addNode({ kind: "tool", x: 0, y: 0, params: { tool: "animate", input: { seconds: 3 } } });
  const other = new Board();
  meet(one, other);
  one.setInput(id, "seconds", 5);
  other.setInput(id, "move", "pan_left");
  meet(one, other);
  expect(one.node(id)?.params.input).toEqual({ seconds: 5, move: "pan_left" });
});

test("a port takes one edge, and the last one wins", () => {
  const board = new Board();
  const [a, b, tool] = ["image", "image", "tool"].map((kind) =>
    board.addNode({ kind: kind as "image", x: 0, y: 0 }),
  ) as [string, string, string];
  board.connect(a, "out", tool, "image");
  board.connect(b, "out", tool, "image");
  expect(board.edges.map((edge) => edge.from)).toEqual([b]);
});

test("a circle is seen before it is drawn", () => {
  const board = new Board();
  const [a, b, c] = [0, 1, 2].map((x) => board.addNode({ kind: "tool", x, y: 0 })) as [string, string, string];
  board.connect(a, "out", b, "image");
  board.connect(b, "out", c, "image");
  expect(board.wouldCircle(c, a)).toBe(true);
  expect(board.wouldCircle(a, c)).toBe(false);
  expect(board.wouldCircle(a, a)).toBe(true);
});

test("deleting takes edges and clips along, and undo brings all of it back", () => {
  const board = new Board();
  const a = board.addNode({ kind: "image", x: 0, y: 0 });
  const b = board.addNode({ kind: "tool", x: 0, y: 0 });
  board.connect(a, "out", b, "image");
  board.addClip(a, { inMs: 0, outMs: 2_000 });
  board.step();
  board.remove([a]);
  expect([board.nodes.length, board.edges.length, board.film?.clips.length]).toEqual([1, 0, 0]);
  board.undo.undo();
  expect([board.nodes.length, board.edges.length, board.film?.clips.length]).toEqual([2, 1, 1]);
  board.undo.redo();
  expect(board.nodes.length).toBe(1);
});

test("undo takes back one's own steps only", () => {
  const [one, other] = two();
  const mine = one.addNode({ kind: "note", x: 0, y: 0 });
  const theirs = other.addNode({ kind: "note", x: 0, y: 0 });
  one.undo.undo();
  expect(one.node(mine)).toBeUndefined();
  expect(one.node(theirs)).toBeDefined();
});

test("an edge to a node that another deleted is not shown", () => {
  const one = new Board();
  const a = one.addNode({ kind: "image", x: 0, y: 0 });
  const b = one.addNode({ kind: "tool", x: 0, y: 0 });
  const other = new Board();
  meet(one, other);
  one.remove([b]);
  other.connect(a, "out", b, "image");
  meet(one, other);
  expect(one.edges).toEqual([]);
  expect(other.edges).toEqual([]);
});

test("a copy brings its text, its fields and its inner edges", () => {
  const board = new Board();
  const prompt = board.addNode({ kind: "prompt", x: 0, y: 0, params: { prompt: "rain" } });
  const tool = board.addNode({ kind: "tool", x: 300, y: 0, params: { tool: "narrate", input: { speed: 1 } } });
  board.connect(prompt, "out", tool, "text");
  const [prompt2, tool2] = board.duplicate([prompt, tool], 40, 40) as [string, string];
  expect(board.node(prompt2)?.params).toEqual({ prompt: "rain" });
  expect(board.node(tool2)).toMatchObject({ x: 340, params: { tool: "narrate", input: { speed: 1 } } });
  expect(board.edges.some((edge) => edge.from === prompt2 && edge.to === tool2)).toBe(true);
  board.setText(prompt2, "prompt", "sun");
  expect(board.node(prompt)?.params.prompt).toBe("rain");
});

test("clips keep the order that each gave them, whoever else moves another", () => {
  const one = new Board();
  const shots = [0, 1, 2, 3].map((x) => one.addNode({ kind: "shot", x, y: 0 }));
  const [a, b, c, d] = shots.map((node) => one.addClip(node, { inMs: 0, outMs: 1_000 })) as [
    string,
    string,
    string,
    string,
  ];
  const other = new Board();
  meet(one, other);
  one.moveClip(d, 0);
  other.moveClip(a, 3);
  meet(one, other);
  const order = one.film?.clips.map((clip) => clip.id);
  expect(other.film?.clips.map((clip) => clip.id)).toEqual(order);
  expect(order?.indexOf(b)).toBeLessThan(order?.indexOf(c) ?? 0);
});

test("what another program wrote badly is read as its default, or not at all", () => {
  const board = new Board();
  const nodes = board.doc.getMap<Y.Map<unknown>>("nodes");
  board.doc.transact(() => {
    nodes.set("a", new Y.Map<unknown>([["kind", "spaceship"]]));
    nodes.set(
      "b",
      new Y.Map<unknown>([
        ["kind", "image"],
        ["x", Number.NaN],
        ["y", "ten"],
        ["w", -5],
        ["params", 3],
      ]),
    );
    nodes.set("c", "not a map" as unknown as Y.Map<unknown>);
    board.doc.getMap<Y.Map<unknown>>("edges").set(
      "e",
      new Y.Map<unknown>([
        ["from", "b"],
        ["to", "b"],
      ]),
    );
    board.doc.getMap<Y.Map<unknown>>("tracks").set("t", new Y.Map<unknown>([["clips", "none"]]));
  });
  expect(board.nodes.map((node) => node.id)).toEqual(["b"]);
  expect(board.node("b")).toMatchObject({ x: 0, y: 0, w: 80, params: {} });
  expect(board.edges).toEqual([]);
  expect(board.film?.clips).toEqual([]);
});

test("two boards that were changed apart, at random, are equal once they meet", () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = generator(seed);
    const one = new Board();
    const other = new Board();
    for (let round = 0; round < 4; round += 1) {
      for (let i = 0; i < 12; i += 1) change(one, random);
      for (let i = 0; i < 12; i += 1) change(other, random);
      meet(one, other);
      expect(one.doc.toJSON()).toEqual(other.doc.toJSON());
      expect([...one.edges].sort(byId)).toEqual([...other.edges].sort(byId));
      expect(one.tracks).toEqual(other.tracks);
    }
  }
});

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);

function generator(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

function change(board: Board, random: (below: number) => number) {
  const any = board.nodes[random(board.nodes.length)]?.id;
  const some = board.nodes[random(board.nodes.length)]?.id;
  const clips = board.film?.clips ?? [];
  const clip = clips[random(clips.length)]?.id;
  const acts: (() => void)[] = [
    () => board.addNode({ kind: "prompt", x: random(900), y: random(900), params: { prompt: "light" } }),
    () => board.addNode({ kind: "tool", x: random(900), y: 0, params: { tool: "animate", input: {} } }),
    () => any && some && any !== some && board.connect(any, "out", some, "image"),
    () => any && board.place([{ id: any, x: random(900) }]),
    () => any && board.setText(any, "prompt", "light ".repeat(random(4))),
    () => any && board.setInput(any, "seconds", random(8)),
    () => any && board.addClip(any, { inMs: 0, outMs: 1_000, index: random(clips.length + 1) }),
    () => clip && board.moveClip(clip, random(clips.length)),
    () => any && random(3) === 0 && board.remove([any]),
    () => board.undo.undo(),
  ];
  acts[random(acts.length)]?.();
}
