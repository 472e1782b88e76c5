import type { Run } from "../../api/types";
import { bytes, duration } from "../../lib/format";
import { moneySentence, STEPS, progressOf, stepWord } from "../../lib/phases";
import { Button, ProblemView, useNow } from "../../ui";
import css from "./Progress.module.css";
import type { Sending } from "./useUploads";

const CLOCK_MS = 200;

/** The bytes on their way, and then the moment in which the server looks at them. */
export function SendingProgress({ sending, onChoose }: { sending: Sending; onChoose: () => void }) {
  if (sending.error) {
    return (
      <div className={css.fault}>
        <ProblemView error={sending.error} />
        <div className={css.actions}>
          <Button look="primary" onClick={onChoose}>
            Choose another
          </Button>
          <Button onClick={sending.retry}>Send it again</Button>
          <Button look="quiet" onClick={sending.cancel}>
            Leave it
          </Button>
        </div>
      </div>
    );
  }
  const sent = sending.fraction >= 1;
  return (
    <div className={css.row}>
      <div className={css.words} role="status">
        <b>{sent ? "Looking at it" : `Sending ${Math.round(sending.fraction * 100)} %`}</b>
        <span>
          {sent
            ? "checking what it is, measuring it, making a preview"
            : `${sending.name} · ${bytes(sending.size_bytes)}`}
        </span>
      </div>
      <Button onClick={sending.cancel}>Cancel</Button>
      <progress className={css.line} value={sending.fraction} max={1} aria-label="Bytes sent" />
    </div>
  );
}

/** Where a run is: its phase among all phases, what is known of it, since when, what it costs, and the way out. */
export function RunProgress({ run, onCancel }: { run: Run | null; onCancel: (() => void) | null }) {
  const now = useNow(CLOCK_MS);
  const progress = run ? progressOf(run) : { word: "Asking", detail: "holding the credits", step: -1, fraction: null };
  const passed = run ? Math.max(0, now - Date.parse(run.created_at)) : 0;
  return (
    <div className={css.run} data-testid="progress">
      <ol className={css.phases} aria-hidden="true">
        {STEPS.map((phase, index) => (
          <li key={phase} data-state={index < progress.step ? "done" : index === progress.step ? "now" : "next"}>
            <i
              style={
                index === progress.step && progress.fraction !== null
                  ? { width: `${progress.fraction * 100}%` }
                  : undefined
              }
              data-measured={index === progress.step && progress.fraction !== null}
            />
            <span>{stepWord(phase)}</span>
          </li>
        ))}
      </ol>
      <div className={css.row}>
        <div className={css.words}>
          <b role="status">{progress.word}</b>
          <span>
            {[progress.detail, run ? duration(Math.round(passed / 100) * 100) : "", run ? moneySentence(run) : ""]
              .filter(Boolean)
              .join(" · ")}
          </span>
        </div>
        {onCancel && (
          <Button
            icon="stop"
            onClick={onCancel}
            because={run?.state === "canceling" ? "Already asked: waiting for the worker" : null}
          >
            Cancel
          </Button>
        )}
      </div>
    </div>
  );
}
