import type { Phase, Run } from "../api/types";
import { credits, duration } from "./format";

export const PHASES: readonly Phase[] = ["queued", "fetching", "loading", "running", "uploading"];

const PHASE_WORD: Record<Phase, string> = {
  queued: "Queued",
  fetching: "Fetching",
  loading: "Loading the model",
  running: "Running",
  uploading: "Saving",
};

/** What the page says about a run that is under way. `fraction` is null where nobody measured one. */
export interface Progress {
  word: string;
  detail: string;
  step: number;
  fraction: number | null;
}

const OVER: ReadonlySet<string> = new Set(["succeeded", "failed", "canceled", "refused", "expired"]);

export function isTerminal(run: Pick<Run, "state">): boolean {
  return OVER.has(run.state);
}

/** Terminal, and its money is decided: nothing about it changes any more. */
export function isOver(run: Run): boolean {
  if (!isTerminal(run)) return false;
  return !run.held_micro || run.settled_micro !== null;
}

export function phaseWord(phase: Phase): string {
  return PHASE_WORD[phase];
}

export function progressOf(run: Run): Progress {
  const phase: Phase = run.phase ?? (run.state === "running" ? "fetching" : "queued");
  const step = PHASES.indexOf(phase);
  if (run.state === "canceling") {
    return { word: "Stopping", detail: "waiting until the worker confirms that it stopped", step, fraction: null };
  }
  if (phase === "queued") return { word: "Queued", detail: queueDetail(run), step, fraction: null };
  const measured = phase === "running" && run.progress !== null && run.progress > 0;
  const percent = measured ? `${Math.round((run.progress ?? 0) * 100)} %` : "";
  return {
    word: PHASE_WORD[phase],
    detail: [percent, run.progress_note ?? ""].filter(Boolean).join(" · "),
    step,
    fraction: measured ? run.progress : null,
  };
}

function queueDetail(run: Run): string {
  const place = run.position === null ? "" : run.position === 0 ? "next" : `place ${run.position + 1}`;
  const start = startEstimate(run.start_p50_ms, run.start_p90_ms);
  return [place, start].filter(Boolean).join(" · ");
}

/** "starts in about 2 s, 9 in 10 within 6 s" */
export function startEstimate(p50_ms: number | null | undefined, p90_ms: number | null | undefined): string {
  if (p50_ms === null || p50_ms === undefined) return "";
  const likely = p50_ms < 500 ? "starts at once" : `starts in about ${duration(p50_ms)}`;
  if (p90_ms === null || p90_ms === undefined || p90_ms <= Math.max(p50_ms * 1.2, 1000)) return likely;
  return `${likely}, 9 in 10 within ${duration(p90_ms)}`;
}

const STATE_WORD: Record<string, string> = {
  queued: "Queued",
  running: "Running",
  canceling: "Stopping",
  succeeded: "Done",
  failed: "Failed",
  canceled: "Canceled",
  refused: "Refused",
  expired: "Expired",
};

export function stateWord(state: string): string {
  return STATE_WORD[state] ?? state;
}

/** One sentence about the money of a run. */
export function moneySentence(run: Run): string {
  if (!isTerminal(run)) return `${credits(run.held_micro ?? run.price_micro)} credits held until it ends`;
  if (run.settled_micro === null && run.held_micro) return `${credits(run.held_micro)} credits held, being settled`;
  const paid = run.settled_micro ?? 0;
  if (paid === 0) return "nothing charged";
  const returned = (run.held_micro ?? paid) - paid;
  return returned > 0
    ? `${credits(paid)} credits charged, ${credits(returned)} returned`
    : `${credits(paid)} credits charged`;
}
