import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { metricQuery, metricsQuery } from "../../api/queries";
import type { MetricPoint, MetricSummary } from "../../api/types";
import { LedgerStrip } from "../../app/LedgerStrip";
import { Page } from "../../app/Page";
import { utcDay } from "../../lib/format";
import { Button, Empty, Loaded, ProblemView } from "../../ui";
import { Sparkline } from "../../charts/Sparkline";
import { withUnit } from "../../charts/unit";
import css from "./numbers.module.css";
import { rangeFrom, rangeOf, RANGES, type Range } from "./range";

/** What the company steers by, on one page, each number beside the sentence that says what it means. */
export default function Numbers() {
  const metrics = useQuery(metricsQuery);
  const [search, setSearch] = useSearchParams();
  const days = rangeFrom(search.get("days"));
  return (
    <Page
      title="Numbers"
      wide
      lead="Each opens: its definition, the SQL, who is left out, and the rows. Days are UTC; hatched days may still change."
      actions={<RangePicker days={days} onChange={(next) => setSearch({ days: String(next) }, { replace: true })} />}
    >
      <LedgerStrip />
      <Loaded of={metrics} waiting="Fetching the definitions…">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing is defined yet">
              A metric is a YAML file in data/metrics. Without a definition there is no number.
            </Empty>
          ) : (
            <ul className={css.grid}>
              {items.map((metric) => (
                <Card key={metric.name} metric={metric} days={days} />
              ))}
            </ul>
          )
        }
      </Loaded>
    </Page>
  );
}

export function RangePicker({ days, onChange }: { days: Range; onChange: (days: Range) => void }) {
  return (
    <div role="group" aria-label="How far back" className={css.ranges}>
      {RANGES.map((one) => (
        <Button key={one} look="quiet" aria-pressed={one === days} onClick={() => onChange(one)}>
          {one} days
        </Button>
      ))}
    </div>
  );
}

function Card({ metric, days }: { metric: MetricSummary; days: Range }) {
  const { from, to } = useMemo(() => rangeOf(days, Date.now()), [days]);
  const series = useQuery(metricQuery(metric.name, from, to));
  return (
    <li className={css.card}>
      <Link to={`/numbers/${metric.name}?days=${days}`}>
        <h2>{metric.label}</h2>
        {series.data ? (
          <>
            <Latest points={series.data.points} unit={metric.unit} />
            <Sparkline points={series.data.points} from_zero_to={metric.unit === "ratio" ? 1 : null} />
          </>
        ) : (
          !series.error && <p className={css.waiting}>Computing…</p>
        )}
        <p className={css.sentence}>{firstSentence(metric.description)}</p>
      </Link>
      {series.error && <ProblemView error={series.error} />}
    </li>
  );
}

/** The last day that is complete; where there is none, today's number, said so. */
function Latest({ points, unit }: { points: MetricPoint[]; unit: string }) {
  const complete = points.findLast((point) => point.complete && point.value !== null);
  const open = points.findLast((one) => !one.complete && one.value !== null);
  const point = complete ?? open;
  if (!point)
    return (
      <p className={css.value}>
        –<small> not defined in these days</small>
      </p>
    );
  return (
    <p className={css.value}>
      {withUnit(point.value, unit)}
      <small>
        {utcDay(point.date)}
        {point.complete ? "" : ", so far"}
        {complete && open ? ` · ${withUnit(open.value, unit)} so far on ${utcDay(open.date)}` : ""}
      </small>
    </p>
  );
}

export function firstSentence(text: string): string {
  const end = /[.!?](\s|$)/.exec(text);
  return end ? text.slice(0, end.index + 1) : text;
}
