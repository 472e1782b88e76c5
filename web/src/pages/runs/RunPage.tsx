import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link, useParams } from "react-router";
import { useLiveRun } from "../../api/live";
import { mandatesQuery, membersQuery, runQuery, timelineQuery } from "../../api/queries";
import type { Run, Timeline, TimelineItem } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { capital, clock, credits, creditsExact, duration, humanise, listOf, readable } from "../../lib/format";
import { previewUrl } from "../../lib/media";
import { isOver, moneySentence, progressBeside } from "../../lib/phases";
import { assetOf, takeLabel } from "../../lib/schema";
import { ButtonLink, Id, Loaded, StateTag } from "../../ui";
import css from "./runs.module.css";

const MISSING = {
  title: "There is no such run here",
  words: "It is another organisation’s, or its address was cut short.",
  to: "/runs",
  label: "Your runs",
};

/** One run across all systems: what happened when, what it cost, who paid, why it failed. */
export default function RunPage() {
  const { id = "" } = useParams();
  const run = useQuery(runQuery(id));
  const timeline = useQuery(timelineQuery(id));
  const client = useQueryClient();
  useLiveRun(id, run.data ? isOver(run.data) : false);
  const version = run.data ? `${run.data.state} ${run.data.phase} ${run.data.settled_micro}` : "";
  useEffect(() => {
    void client.invalidateQueries({ queryKey: timelineQuery(id).queryKey });
  }, [version, id, client]);
  if (!run.data)
    return (
      <Page title="A run">
        <Loaded of={run} missing={MISSING}>
          {() => null}
        </Loaded>
      </Page>
    );
  return <Shown run={run.data} timeline={timeline} />;
}

function Shown({
  run,
  timeline,
}: {
  run: Run;
  timeline: { data: Timeline | undefined; error: unknown; refetch: () => unknown };
}) {
  const source = assetOf(run.input);
  const over = isOver(run);
  return (
    <Page
      title={`${humanise(run.tool)}, ${takeLabel(run.input)}`}
      lead={
        <>
          <StateTag state={run.state} phase={run.phase} />{" "}
          {[over ? "" : progressBeside(run), moneySentence(run), `version ${run.version}`].filter(Boolean).join(" · ")}{" "}
          · run <Id value={run.id} />
          {run.job_id && run.job_id !== run.id && (
            <>
              {" "}
              · job <Id value={run.job_id} />
            </>
          )}
        </>
      }
      actions={
        source && (
          <ButtonLink
            to={`/studio?asset=${source}&run=${run.id}`}
            {...(run.failure ? { look: "primary" as const } : {})}
          >
            {run.failure ? "Try again in the studio" : "Open in the studio"}
          </ButtonLink>
        )
      }
    >
      <Pictures run={run} />
      <Loaded of={timeline} waiting="Asking every system what it knows of this run…">
        {(data) => (
          <>
            <Figures run={run} cost={data.cost} />
            <Verdict run={run} timeline={data} />
            <Section title="What happened when">
              <Spans items={data.items} />
              <ol className={css.line}>
                {data.items.map((item, index) => (
                  <Happening key={index} item={item} first={data.items[0]?.at ?? item.at} />
                ))}
              </ol>
            </Section>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Pictures({ run }: { run: Run }) {
  const source = assetOf(run.input);
  return (
    <ul className={css.media} aria-label="Pictures of this run" style={{ marginBottom: 24 }}>
      {source && (
        <li>
          <Link to={`/library/${source}`}>
            <img src={previewUrl(source)} alt="What went in" />
            What went in
          </Link>
        </li>
      )}
      {run.outputs.map((output) => (
        <li key={output.id}>
          <Link to={`/library/${output.id}`}>
            <img src={previewUrl(output.id)} alt={`What came out: ${output.name}`} />
            What came out
          </Link>
        </li>
      ))}
    </ul>
  );
}

function Figures({ run, cost }: { run: Run; cost: Timeline["cost"] }) {
  return (
    <dl className={css.figures}>
      <Figure
        name="Quoted"
        value={`${credits(run.price_micro)}`}
        unit="credits"
        exact={creditsExact(run.price_micro)}
      />
      <Figure name="Held" value={credits(cost.held_micro)} unit="credits" exact={creditsExact(cost.held_micro)} />
      <Figure
        name="Charged"
        value={cost.settled_micro === null ? "not yet" : credits(cost.settled_micro)}
        unit={cost.settled_micro === null ? "" : "credits"}
        exact={creditsExact(cost.settled_micro ?? 0)}
      />
      <Figure
        name="Absorbed by us"
        value={credits(cost.absorbed_micro)}
        unit="credits"
        exact={creditsExact(cost.absorbed_micro)}
      />
      <Figure name="Cost to us" value={credits(cost.cost_micro)} unit="credits" exact={creditsExact(cost.cost_micro)} />
      <Figure name="Machine time" value={duration(cost.compute_ms)} unit="" exact={`${cost.compute_ms} ms`} />
    </dl>
  );
}

function Verdict({ run, timeline }: { run: Run; timeline: Timeline }) {
  const failure = timeline.failure ?? run.failure;
  return (
    <div className={css.verdict}>
      {timeline.who_paid && (
        <p>
          <b>Who paid:</b> <WhoPaid run={run} text={timeline.who_paid} />
        </p>
      )}
      {failure && (
        <>
          <p>
            <b>{run.state === "canceled" ? "Why it ended" : "Why it failed"}:</b> {failure.message}
          </p>
          {failure.detail && <p className={css.trouble}>{readable(failure.detail)}</p>}
          <p>{failure.charged_because}</p>
        </>
      )}
      {timeline.missing.length > 0 && (
        <p>
          <b>Incomplete:</b> {listOf(timeline.missing)} did not answer; its part of the story is missing.
        </p>
      )}
    </div>
  );
}

/** The server names the mandate by its id; whoever may see the team reads whose it is. */
function WhoPaid({ run, text }: { run: Run; text: string }) {
  const mandates = useQuery(mandatesQuery).data?.items ?? [];
  const members = useQuery(membersQuery).data?.items ?? [];
  const mandate = mandates.find((one) => one.id === run.mandate_id);
  const holder = members.find((one) => one.user_id === mandate?.grantee_id);
  const named = mandate && holder ? text.replace(`andate ${mandate.id}`, `andate of ${holder.name}`) : text;
  return <>{capital(readable(named))}</>;
}

const LABELLED_PART_MIN = 0.1;

/** Where the time went: each happening lasts until the next one, drawn to scale. The list below says the same. */
function Spans({ items }: { items: TimelineItem[] }) {
  const first = Date.parse(items[0]?.at ?? "");
  const total = Date.parse(items.at(-1)?.at ?? "") - first;
  if (!(total > 0)) return null;
  return (
    <div className={css.spans} aria-hidden="true">
      {items.slice(0, -1).map((item, index) => {
        const part = (Date.parse(items[index + 1]?.at ?? item.at) - Date.parse(item.at)) / total;
        return (
          <span
            key={index}
            style={{ flexGrow: part, "--lane": laneOf(item.system) } as React.CSSProperties}
            title={readable(item.what)}
          >
            {part >= LABELLED_PART_MIN && (
              <>
                {capital(readable(item.what))} <b>{duration(part * total)}</b>
              </>
            )}
          </span>
        );
      })}
    </div>
  );
}

function Figure({ name, value, unit, exact }: { name: string; value: string; unit: string; exact: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={exact}>
        {value} <small>{unit}</small>
      </dd>
    </div>
  );
}

const LANES: Record<string, string> = {
  business: "var(--amber)",
  infrastructure: "var(--slate)",
  inference: "var(--green)",
};

function laneOf(system: string): string | undefined {
  return LANES[system.split(/[./ ]/)[0] ?? ""];
}

function Happening({ item, first }: { item: TimelineItem; first: string }) {
  const since = Date.parse(item.at) - Date.parse(first);
  return (
    <li>
      <span className={css.at}>
        <time dateTime={item.at}>{clock(item.at)}</time>
        <small>{since > 0 ? `+${duration(since)}` : ""}</small>
      </span>
      <span className={css.system} style={{ "--lane": laneOf(item.system) } as React.CSSProperties}>
        {item.system}
      </span>
      <span className={css.what}>
        {capital(readable(item.what))}
        {item.detail && <p>{readable(item.detail)}</p>}
      </span>
    </li>
  );
}
