import { useState } from "react";
import { useReport, type Report } from "../../api/useSocial";
import { Button, Dialog, FieldFrame, ProblemView, uiCss } from "../../ui";
import css from "./Post.module.css";

export const REASONS: [string, string][] = [
  ["spam", "It is advertising, or posted over and over"],
  ["stolen", "It is somebody else’s work"],
  ["sexual", "It is sexual"],
  ["violent", "It is violent or cruel"],
  ["hateful", "It is hateful or harasses somebody"],
  ["other", "Something else"],
];
const TEXT_MAX = 1_000;

export function ReportDialog({
  what,
  report,
  onClose,
}: {
  what: string;
  report: Omit<Report, "reason">;
  onClose: () => void;
}) {
  const send = useReport(onClose);
  const [reason, setReason] = useState("");
  const [text, setText] = useState("");
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Report ${what}`}
      text="A person looks at every report. Whoever made it does not learn who reported it."
    >
      <form
        className={css.report}
        onSubmit={(event) => {
          event.preventDefault();
          if (reason) send.mutate({ ...report, reason, ...(text.trim() ? { text: text.trim() } : {}) });
        }}
      >
        <fieldset>
          <legend className="sr-only">Why</legend>
          {REASONS.map(([value, words]) => (
            <label key={value}>
              <input type="radio" name="reason" checked={reason === value} onChange={() => setReason(value)} /> {words}
            </label>
          ))}
        </fieldset>
        <FieldFrame label="What should we know?" help="Left out, the reason alone counts.">
          {({ id, describedBy }) => (
            <textarea
              id={id}
              aria-describedby={describedBy}
              className={uiCss.input}
              maxLength={TEXT_MAX}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          )}
        </FieldFrame>
        {send.error && <ProblemView error={send.error} />}
        <div className={uiCss.emptyActions}>
          <Button
            type="submit"
            look="primary"
            because={!reason ? "Choose a reason first" : send.isPending ? "It is being sent" : null}
          >
            Report
          </Button>
          <Button onClick={onClose}>Leave it</Button>
        </div>
      </form>
    </Dialog>
  );
}
