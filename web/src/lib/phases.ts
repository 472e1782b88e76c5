import type { Phase, Run } from "../api/types";
import { credits, dateTime, duration } from "./format";

/** In the order in which a run goes through them. */
export const STEPS: readonly Phase[] = ["queued", "fetching", "loading", "running", "uploading"];

const PHASE_WORD: Record<Phase, string> = {
  queued: "Queued",
  checking: "Being checked",
  reviewing: "Waits for a person",
  fetching: "Fetching",
  loading: "Loading the model",
  running: "Running",
  paused: "Standing aside for something short",
  uploading: "Saving",
};

/** No worker computes in these, though the run goes on. */
export const WAITING_PHASES: ReadonlySet<Phase> = new Set(["checking", "reviewing", "paused"]);

/** What the page says about a run that is under way. `fraction` is null where nobody measured one. */
export interface Progress {
  word: string;
  detail: string;
  step: number;
  fraction: number | null;
}

const OVER: ReadonlySet<string> = new Set(["succeeded", "failed", "canceled", "refused", "expired"]);

/** Nothing about it changes any more: by then its money is final too. */
export function isOver(run: Pick<Run, "state">): boolean {
  return OVER.has(run.state);
}

/** The same in one word, for the row of steps. */
export function stepWord(phase: Phase): string {
  return PHASE_WORD[phase].split(" ")[0] ?? phase;
}

export function phaseWord(phase: Phase): string {
  return PHASE_WORD[phase];
}

/** Which of the steps it is at; past all of them where what came out is looked at, before them where what goes in is. */
function stepOf(run: Run, phase: Phase): number {
  const isMade = phase === "reviewing" || (phase === "checking" && run.started_at !== null);
  return isMade ? STEPS.length : STEPS.indexOf(phase === "paused" ? "running" : phase);
}

const REVIEW = "the safety model was unsure of it; nothing is charged unless it passes";

export function progressOf(run: Run): Progress {
  const phase: Phase = run.phase ?? "queued";
  const step = stepOf(run, phase);
  if (run.state === "canceling") {
    return { word: "Stopping", detail: "waiting until the worker confirms that it stopped", step, fraction: null };
  }
  const word = phaseWord(phase);
  if (phase === "queued") return { word, detail: queueDetail(run), step, fraction: null };
  if (phase === "reviewing") return { word, detail: REVIEW, step, fraction: null };
  const fraction = (phase === "running" || phase === "paused") && run.progress ? run.progress : null;
  const percent = fraction === null ? "" : `${Math.round(fraction * 100)} %`;
  return { word, detail: [percent, run.progress_note ?? ""].filter(Boolean).join(" · "), step, fraction };
}

function queueDetail(run: Run): string {
  const place = run.position === null ? "" : run.position === 0 ? "next" : `place ${run.position + 1}`;
  const until = run.deadline ? `of use until ${dateTime(run.deadline)}` : "";
  return [place, startEstimate(run.start_p50_ms, run.start_p90_ms), until].filter(Boolean).join(" · ");
}

/** "starts in about 2 s, 9 in 10 within 6 s" */
export function startEstimate(p50_ms: number | null, p90_ms: number | null): string {
  if (p50_ms === null) return "";
  const likely = p50_ms < 500 ? "starts at once" : `starts in about ${duration(p50_ms)}`;
  if (p90_ms === null || p90_ms <= Math.max(p50_ms * 1.2, 1000)) return likely;
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

/** A run in one or two words: its state, and its phase where that says more than that something runs. */
export function tagWord(state: string, phase?: Phase | null): string {
  return state === "running" && phase && WAITING_PHASES.has(phase) ? phaseWord(phase) : stateWord(state);
}

/** How far it is, for beside the word that says so already. */
export function progressBeside(run: Run): string {
  const { word, detail } = progressOf(run);
  return [word === tagWord(run.state, run.phase) ? "" : word, detail].filter(Boolean).join(" ");
}

/** One sentence about the money of a run. */
export function moneySentence(run: Run): string {
  if (!isOver(run)) return `${credits(run.held_micro || run.price_micro)} credits held until it ends`;
  const paid = run.settled_micro ?? 0;
  if (paid === 0) return "nothing charged";
  const returned = run.held_micro - paid;
  return returned > 0
    ? `${credits(paid)} credits charged, ${credits(returned)} returned`
    : `${credits(paid)} credits charged`;
}
