import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useParams, useSearchParams } from "react-router";
import { metricQuery, metricRowsQuery, metricsQuery } from "../../api/queries";
import type { Metric, Row } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { TimeSeries } from "../../charts/TimeSeries";
import { withUnit } from "../../charts/unit";
import { count, dateTime, humanise, utcDay } from "../../lib/format";
import { Button, ButtonLink, Loaded, uiCss, useCopy } from "../../ui";
import { RangePicker } from "./Numbers";
import css from "./numbers.module.css";
import { rangeFrom, rangeOf } from "./range";

/** One number, opened: its days, what it means, how it was computed, who was left out, and what is behind a day. */
export default function NumberPage() {
  const { name = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const days = rangeFrom(search.get("days"));
  const day = search.get("day");
  const { from, to } = useMemo(() => rangeOf(days, Date.now()), [days]);
  const metric = useQuery(metricQuery(name, from, to));
  // What it means is known at once; computing it takes longer the more there is behind it.
  const meaning = useQuery(metricsQuery).data?.items.find((one) => one.name === name);
  const set = (change: Record<string, string>) =>
    setSearch((old) => ({ ...Object.fromEntries(old), ...change }), { replace: true, preventScrollReset: true });
  return (
    <Page
      title={metric.data?.definition.label ?? meaning?.label ?? humanise(name)}
      lead={metric.data?.definition.description ?? meaning?.description}
      actions={
        <>
          <RangePicker days={days} onChange={(next) => set({ days: String(next) })} />
          <ButtonLink to={`/numbers?days=${days}`}>All numbers</ButtonLink>
        </>
      }
    >
      <Loaded of={metric} waiting="Computing…">
        {(data) => (
          <>
            <TimeSeries
              points={data.points}
              unit={data.definition.unit}
              label={data.definition.label}
              chosen={day}
              onChoose={(chosen) => set({ day: chosen })}
            />
            <Whole metric={data} />
            {day && <Rows name={name} day={day} />}
            <Section title="Definition">
              <Code text={data.definition_yaml || JSON.stringify(data.definition, null, 2)} name="definition" />
            </Section>
            <Section title="SQL">
              <Code text={data.sql} name="SQL" />
            </Section>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Whole({ metric }: { metric: Metric }) {
  const { unit } = metric.definition;
  const parts = metric.total_detail.parts ?? [];
  return (
    <dl className={css.whole}>
      <div>
        <dt>These days as one number</dt>
        <dd>
          <b>{withUnit(metric.total, unit)}</b> {metric.total_detail.meaning}
        </dd>
      </div>
      {parts.length > 0 && (
        <div>
          <dt>Shown beside it</dt>
          <dd>{parts.map((part) => `${part.label}: ${withUnit(part.value ?? null, unit)}`).join(" · ")}</dd>
        </div>
      )}
      <div>
        <dt>Left out</dt>
        <dd>
          {count(metric.excluded.staff)} of the staff, {count(metric.excluded.service)}{" "}
          {metric.excluded.service === 1 ? "service" : "services"}, with {count(metric.excluded.events)}{" "}
          {metric.excluded.events === 1 ? "event" : "events"} that would have counted
        </dd>
      </div>
      <div>
        <dt>Known by</dt>
        <dd>{dateTime(metric.as_of)}</dd>
      </div>
    </dl>
  );
}

function Rows({ name, day }: { name: string; day: string }) {
  const rows = useQuery(metricRowsQuery(name, day));
  return (
    <Section title={`Rows of ${utcDay(day)}`}>
      <Loaded of={rows} waiting="Fetching the rows…">
        {({ items }) => {
          if (items.length === 0) return <p className={css.waiting}>No event of this day is in this number.</p>;
          const columns = columnsOf(items[0] ?? {});
          return (
            <div className={`${uiCss.scroll} ${css.rows}`} tabIndex={0} role="region" aria-label="Rows">
              <table className={uiCss.table}>
                <thead>
                  <tr>
                    {columns.map((column) => (
                      <th key={column}>{column}</th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {items.map((row, index) => (
                    <tr key={index} data-out={row.counted === false || undefined}>
                      {columns.map((column) => (
                        <td key={column}>
                          <code>{cell(row[column])}</code>
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          );
        }}
      </Loaded>
    </Section>
  );
}

const COLUMNS_FIRST = ["counted", "time", "time_us", "type", "person", "actor", "organisation"];

/** What one looks for first, then the rest as they come. */
function columnsOf(row: Row): string[] {
  const names = Object.keys(row);
  return [
    ...COLUMNS_FIRST.filter((name) => names.includes(name)),
    ...names.filter((name) => !COLUMNS_FIRST.includes(name)),
  ];
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function Code({ text, name }: { text: string; name: string }) {
  const { copy } = useCopy();
  return (
    <div className={css.code}>
      <pre tabIndex={0} aria-label={name}>
        {text.trim()}
      </pre>
      <Button
        look="quiet"
        icon="copy"
        aria-label={`Copy the ${name}`}
        onClick={() => void copy(text, `The ${name} is copied`)}
      />
    </div>
  );
}
