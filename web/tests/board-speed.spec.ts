import { expect, test, type Page } from "@playwright/test";
import { newBoard, openBoard, type Command } from "./boards";
import { signUp } from "./studio";

const NODES = 500;
const FRAME_MS = 1_000 / 60;
/** A machine without a graphics card draws in software: what we promise is that the page's own work fits in a frame. */
const WORK_P95_MS = FRAME_MS;
/** The best of three: what is measured is the app, not what else the machine does. */
const ROUNDS_MAX = 3;

/** 500 nodes in a grid, each row fed from its first, as a board that somebody has worked on for a month. */
function many(): Command[] {
  const commands: Command[] = [];
  for (let index = 0; index < NODES; index += 1) {
    const at = { x: (index % 25) * 340, y: Math.floor(index / 25) * 300, w: 280, h: 190 };
    commands.push(
      index % 25 === 0
        ? {
            op: "add_node",
            id: `n${index}`,
            kind: "prompt",
            ...at,
            params: { prompt: `Row ${index / 25}: a lamp in the rain` },
          }
        : { op: "add_node", id: `n${index}`, kind: "tool", ...at, params: { tool: "upscale", input: { scale: 2 } } },
    );
    if (index % 25 > 1) commands.push({ op: "connect", from: `n${index - 1}`, to: `n${index}`, to_port: "image" });
  }
  return commands;
}

interface Frames {
  frames: number;
  p50: number;
  p95: number;
  worst: number;
  /** Time that the page itself needed, without waiting for the screen. */
  work_p50: number;
  work_p95: number;
}

/** Frame times while something goes on: from one frame to the next, and how long the page's own work in it was. */
async function measured(page: Page, act: () => Promise<void>): Promise<Frames> {
  await page.evaluate(() => {
    const times: number[] = [];
    const works: number[] = [];
    let on = true;
    const channel = new MessageChannel();
    let began = 0;
    // A message after the frame's callbacks arrives once style, layout and paint are done.
    channel.port1.onmessage = () => works.push(performance.now() - began);
    requestAnimationFrame(function tick(at) {
      times.push(at);
      began = performance.now();
      channel.port2.postMessage(null);
      if (on) requestAnimationFrame(tick);
    });
    Object.assign(window, { stopMeasuring: () => ((on = false), { times, works }) });
  });
  await act();
  const { times, works } = await page.evaluate(() =>
    (window as unknown as { stopMeasuring: () => { times: number[]; works: number[] } }).stopMeasuring(),
  );
  const gaps = times
    .slice(1)
    .map((at, index) => at - (times[index] ?? at))
    .sort((a, b) => a - b);
  works.sort((a, b) => a - b);
  const at = (all: number[], share: number) => all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? 0;
  return {
    frames: gaps.length,
    p50: at(gaps, 0.5),
    p95: at(gaps, 0.95),
    worst: gaps.at(-1) ?? 0,
    work_p50: at(works, 0.5),
    work_p95: at(works, 0.95),
  };
}

/** Measures until it was within the bound once, and says each. */
async function best(page: Page, what: string, act: () => Promise<void>): Promise<Frames> {
  let shortest: Frames | null = null;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const one = await measured(page, act);
    console.log(said(what, one));
    if (!shortest || one.work_p95 < shortest.work_p95) shortest = one;
    if (shortest.work_p95 < WORK_P95_MS) break;
  }
  if (!shortest) throw new Error("nothing was measured");
  return shortest;
}

const said = (what: string, one: Frames) =>
  `${what}: ${one.frames} frames, p50 ${one.p50.toFixed(1)} ms, p95 ${one.p95.toFixed(1)} ms, worst ${one.worst.toFixed(1)} ms; ` +
  `the page's own work p50 ${one.work_p50.toFixed(1)} ms, p95 ${one.work_p95.toFixed(1)} ms`;

test("a board of 500 nodes stays quick", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Five hundred", many());
  const began = Date.now();
  await openBoard(page, id, "canvas");
  await expect(page.locator(".react-flow__node").first()).toBeVisible();
  console.log(`opened in ${Date.now() - began} ms`);
  const box = await page.getByRole("region", { name: "Canvas" }).boundingBox();
  if (!box) throw new Error("the canvas has no size");
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.mouse.move(middle.x, middle.y);

  const far = await best(page, "pan, all 500 in sight", async () => {
    for (let step = 0; step < 60; step += 1) await page.mouse.wheel(step < 30 ? 20 : -20, step % 2 ? 12 : -12);
  });

  await page.keyboard.press("0");
  await page.waitForTimeout(400);
  const near = await best(page, "pan at full size", async () => {
    for (let step = 0; step < 90; step += 1) await page.mouse.wheel(24, 10);
  });

  const zoom = await best(page, "zoom out and in", async () => {
    await page.keyboard.down("Control");
    for (let step = 0; step < 60; step += 1) await page.mouse.wheel(0, step < 30 ? 24 : -24);
    await page.keyboard.up("Control");
  });

  // All of it in sight, then full size: a node is under the middle of the window.
  await page.keyboard.press("1");
  await page.waitForTimeout(400);
  await page.keyboard.press("0");
  await page.waitForTimeout(400);
  const drag = await best(page, "drag one of 500", async () => {
    const target = page.locator(".react-flow__node-tool").first();
    const place = await target.boundingBox();
    if (!place) throw new Error("no node is in sight");
    await page.mouse.move(place.x + 60, place.y + 60);
    await page.mouse.down();
    for (let step = 0; step < 60; step += 1) await page.mouse.move(place.x + 60 + step * 3, place.y + 60 + step * 2);
    await page.mouse.up();
  });
  for (const one of [far, near, zoom, drag]) expect.soft(one.work_p95).toBeLessThan(WORK_P95_MS);
});
