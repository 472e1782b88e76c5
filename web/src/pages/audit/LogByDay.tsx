import { dayName } from "../../lib/format";
import { Button, Icon, Id, type IconName } from "../../ui";
import css from "./audit.module.css";

/** One line of a log. */
export interface LogLine {
  id: string;
  at: string;
  icon: IconName;
  words: string;
  /** The id of what it is about. */
  about: string;
}

const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Sentences by day, newest first, and a way to earlier ones. */
export function LogByDay({
  lines,
  of,
}: {
  lines: LogLine[];
  of: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
}) {
  return (
    <>
      {byDay(lines).map(([day, listed]) => (
        <section key={day} className={css.day} aria-label={day}>
          <h2>{day}</h2>
          <ol className={css.lines}>
            {listed.map((line) => (
              <li key={line.id}>
                <time dateTime={line.at}>{time.format(new Date(line.at))}</time>
                <Icon name={line.icon} />
                <p>{/[.!?…]$/.test(line.words) ? line.words : `${line.words}.`}</p>
                <Id value={line.about} />
              </li>
            ))}
          </ol>
        </section>
      ))}
      {of.hasNextPage && (
        <Button
          onClick={() => void of.fetchNextPage()}
          because={of.isFetchingNextPage ? "They are being fetched" : null}
        >
          Earlier lines
        </Button>
      )}
    </>
  );
}

function byDay(lines: LogLine[]): [string, LogLine[]][] {
  const days = new Map<string, LogLine[]>();
  for (const line of lines) {
    const day = dayName(line.at, Date.now());
    days.set(day, [...(days.get(day) ?? []), line]);
  }
  return [...days];
}
