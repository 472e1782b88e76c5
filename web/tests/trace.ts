import type { Page } from "@playwright/test";

/** What a gesture cost: wall-clock time between frames as one sees it, and the processor time that was spent in them. */
export interface Cost {
  frames: number;
  /** From one frame to the next, ms: another process's load shows here. */
  gap: Spread;
  /** Processor time of the page's main thread in each frame, ms: another process's load does not count. */
  work: Spread;
  /** The longest single task of the main thread, ms of processor time. */
  task: number;
  /** Processor time that drawing took, ms a frame: what a graphics card would do. */
  raster: number;
}
export interface Spread {
  p50: number;
  p95: number;
  worst: number;
}

interface Event {
  name: string;
  ph: string;
  cat: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  tdur?: number;
  args: { name?: string };
}

const CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"];
const TASK = "ThreadControllerImpl::RunTask";
const POOL_TASK = "ThreadPool_RunTask";

/** Does something while Chromium writes down what each of its threads does. */
export async function cost(page: Page, act: () => Promise<void>): Promise<Cost> {
  const cdp = await page.context().browser()?.newBrowserCDPSession();
  if (!cdp) throw new Error("the browser is gone");
  const events: Event[] = [];
  cdp.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as Event[])));
  await cdp.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: CATEGORIES },
  });
  await page.evaluate(() => {
    const times: number[] = [];
    let on = true;
    requestAnimationFrame(function tick(at) {
      times.push(at);
      if (on) requestAnimationFrame(tick);
    });
    Object.assign(window, { framesUntilNow: () => ((on = false), times) });
  });
  await act();
  const times = await page.evaluate(() => (window as unknown as { framesUntilNow: () => number[] }).framesUntilNow());
  const written = new Promise((resolve) => cdp.once("Tracing.tracingComplete", resolve));
  await cdp.send("Tracing.end");
  await written;
  await cdp.detach();
  return read(events, times);
}

function read(events: readonly Event[], times: readonly number[]): Cost {
  const threadOf = ({ pid, tid }: Event) => `${pid}:${tid}`;
  const frames = events.filter((event) => event.name === "FireAnimationFrame");
  const main = mostOften(frames.map(threadOf));
  const pid = Number(main.split(":")[0]);
  const pool = new Set(
    events
      .filter((event) => event.pid === pid && event.name === "thread_name" && event.args.name?.startsWith("ThreadPool"))
      .map(threadOf),
  );
  const begins = frames
    .filter((event) => threadOf(event) === main)
    .map((event) => event.ts)
    .sort((a, b) => a - b);
  const tasks = events.filter((event) => event.ph === "X" && event.name === TASK && threadOf(event) === main);
  const work = new Array<number>(begins.length).fill(0);
  let task = 0;
  let frame = 0;
  for (const one of tasks.sort((a, b) => a.ts - b.ts)) {
    while (frame < begins.length - 1 && (begins[frame + 1] ?? Infinity) <= one.ts + (one.dur ?? 0)) frame += 1;
    const ms = (one.tdur ?? 0) / 1_000;
    work[frame] = (work[frame] ?? 0) + ms;
    task = Math.max(task, ms);
  }
  const drawing = events
    .filter((event) => event.ph === "X" && event.name === POOL_TASK && pool.has(threadOf(event)))
    .reduce((sum, one) => sum + (one.tdur ?? 0), 0);
  return {
    frames: times.length,
    gap: spread(times.slice(1).map((at, index) => at - (times[index] ?? at))),
    work: spread(work.slice(0, -1)),
    task,
    raster: drawing / 1_000 / Math.max(1, times.length),
  };
}

function mostOften(all: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), worst: sorted.at(-1) ?? 0 };
}
