import { expect, test, type Page } from "@playwright/test";
import { newBoard, openBoard, type Command } from "./boards";
import { bring } from "./community";
import { slowness } from "./machine";
import { signUp } from "./studio";
import { cost, type Cost } from "./trace";

const NODES = 500;
/**
 * Processor time that the page may take in a frame of 16.7 ms: where there is no graphics card, the compositor that draws
 * the frame needs the rest. A quiet machine of two cores takes 6 to 8; before a gesture moved a picture of the board, 16.
 */
const WORK_P95_MS_MAX = 12;
/** The same while a pan brings words into sight, a few nodes in a frame. */
const WORK_READING_P95_MS_MAX = 20;
/** Sixty frames a second on the clock, asked where nobody else has the processors: else it would measure them. */
const GAP_P95_MS_MAX = 20;
const QUIET_SLOWER_MAX = 1.1;
/** No single task may be longer: it would be seen as a jolt. */
const TASK_MS_MAX = 50;
/** A task is no longer for waiting, only for what other programs put out of the processor's caches. */
const TASK_SLOWER_MAX = 2;
/** What drawing anew may take in each frame of a pan, where the compositor only moves what is there; the whole window takes 4 to 7. */
const PAN_RASTER_MS_MAX = 3;
/** So many frames without a node that changes how much it shows: all have what they get. */
const STILL_FRAMES = 20;
/** The best of three: what is measured is the app, not what else the machine does. */
const ROUNDS_MAX = 3;

/** 500 nodes in a grid, each row fed from its first, as a board that somebody has worked on for a month. */
function many(asset: string): Command[] {
  const commands: Command[] = [];
  const made = (index: number) => index % 5 === 4 || index % 25 === 1;
  for (let index = 0; index < NODES; index += 1) {
    const at = { x: (index % 25) * 340, y: Math.floor(index / 25) * 300, w: 280, h: 190 };
    const node = { op: "add_node", id: `n${index}`, ...at };
    if (index % 25 === 0) {
      commands.push({ ...node, kind: "prompt", params: { prompt: `Row ${index / 25}: a lamp in the rain` } });
    } else if (made(index)) commands.push({ ...node, kind: "image", params: { asset } });
    else commands.push({ ...node, kind: "tool", params: { tool: "upscale", input: { scale: 2 } } });
    if (index % 25 > 1 && !made(index)) {
      commands.push({ op: "connect", from: `n${index - 1}`, to: `n${index}`, to_port: "image" });
    }
  }
  return commands;
}

interface Round extends Cost {
  workMax: number;
  /** How much longer a process took than alone: processors that are shared work slower, and frames that wait hold more. */
  slower: number;
}

const isWithin = ({ work, workMax, task, slower, gap }: Round) =>
  work.p95 < workMax * slower &&
  task < TASK_MS_MAX * Math.min(slower, TASK_SLOWER_MAX) &&
  (slower > QUIET_SLOWER_MAX || gap.p95 < GAP_P95_MS_MAX);

/** Measures until it was within the bounds once, and says each. */
async function best(page: Page, what: string, act: () => Promise<void>, workMax = WORK_P95_MS_MAX): Promise<Round> {
  let least: Round | null = null;
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    await atRest(page);
    const before = slowness();
    const measured = await cost(page, act);
    const one = { ...measured, workMax, slower: (before + slowness()) / 2 };
    console.log(said(what, one));
    if (!least || isWithin(one) || one.work.p95 < least.work.p95) least = one;
    if (isWithin(one)) break;
  }
  if (!least) throw new Error("nothing was measured");
  return least;
}

const ms = (value: number) => value.toFixed(1);
const said = (what: string, { frames, gap, work, task, raster, slower }: Round) =>
  `${what}: ${frames} frames; processor time of the page p50 ${ms(work.p50)}, p95 ${ms(work.p95)}, longest task ${ms(task)} ms, ` +
  `drawing ${ms(raster)} ms a frame; on the clock p50 ${ms(gap.p50)}, p95 ${ms(gap.p95)}, worst ${ms(gap.worst)} ms, ` +
  `where a process took ${slower.toFixed(1)} times as long as alone`;

/** Until the gesture's end is worked off: the board is sharp again, and what is in sight has its words. */
async function atRest(page: Page) {
  await expect(page.getByRole("region", { name: "Canvas" })).not.toHaveAttribute("data-moving");
  await page.evaluate(async (frames) => {
    const far = () => document.querySelectorAll("[data-far]").length;
    for (let before = -1, same = 0; same < frames; same = far() === before ? same + 1 : 0) {
      before = far();
      await new Promise(requestAnimationFrame);
    }
  }, STILL_FRAMES);
}

test("a board of 500 nodes stays quick", async ({ page }) => {
  await signUp(page);
  const id = await newBoard(page, "Five hundred", many(await bring(page)));
  const began = Date.now();
  await openBoard(page, id, "canvas");
  await expect(page.locator(".react-flow__node").first()).toBeVisible();
  console.log(`opened in ${Date.now() - began} ms`);
  const edges = many("").filter((one) => one.op === "connect").length;
  await expect(page.locator(".react-flow__edge")).toHaveCount(edges);
  const box = await page.getByRole("region", { name: "Canvas" }).boundingBox();
  if (!box) throw new Error("the canvas has no size");
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.mouse.move(middle.x, middle.y);

  const far = await best(page, "pan, all 500 in sight", async () => {
    for (let step = 0; step < 60; step += 1) await page.mouse.wheel(step < 30 ? 20 : -20, step % 2 ? 12 : -12);
  });

  await page.keyboard.press("0");
  await expect(page.getByRole("group", { name: "Zoom" })).toContainText("100 %");
  const pan = async () => {
    for (let step = 0; step < 90; step += 1) await page.mouse.wheel(24, 10);
  };
  const near = await best(page, "pan at full size", pan, WORK_READING_P95_MS_MAX);

  const zoom = await best(page, "zoom out and in", async () => {
    await page.keyboard.down("Control");
    for (let step = 0; step < 60; step += 1) await page.mouse.wheel(0, step < 30 ? 24 : -24);
    await page.keyboard.up("Control");
  });

  // All of it in sight, then full size: a node is under the middle of the window.
  await page.keyboard.press("1");
  await expect(page.getByRole("group", { name: "Zoom" })).not.toContainText("100 %");
  const through = await best(page, "from all in sight to full size and back", async () => {
    await page.keyboard.down("Control");
    for (let step = 0; step < 80; step += 1) await page.mouse.wheel(0, step < 40 ? -24 : 24);
    await page.keyboard.up("Control");
  });
  await page.keyboard.press("0");
  await expect(page.getByRole("group", { name: "Zoom" })).toContainText("100 %");
  const drag = await best(page, "drag one of 500", async () => {
    const target = page.locator(".react-flow__node-tool").first();
    const place = await target.boundingBox();
    if (!place) throw new Error("no node is in sight");
    await page.mouse.move(place.x + 60, place.y + 60);
    await page.mouse.down();
    for (let step = 0; step < 60; step += 1) await page.mouse.move(place.x + 60 + step * 3, place.y + 60 + step * 2);
    await page.mouse.up();
  });
  await expect(page.locator(".react-flow__edge")).toHaveCount(edges);
  for (const one of [far, near, zoom, through, drag]) expect.soft(isWithin(one), JSON.stringify(one)).toBe(true);
  for (const one of [far, near]) expect.soft(one.raster).toBeLessThan(PAN_RASTER_MS_MAX);
});
