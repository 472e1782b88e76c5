import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { Link } from "react-router";
import { quoteQuery } from "../../api/queries";
import { ProblemError } from "../../api/problem";
import type { Asset, Quote, Run, Tool } from "../../api/types";
import { useSession } from "../../app/session";
import { useShortcuts } from "../../app/shortcuts";
import { credits, creditWord, duration } from "../../lib/format";
import { startEstimate } from "../../lib/phases";
import { fieldsOf, initialValues, inputOf, mediaOf, missing, stageField, takes, type Values } from "../../lib/schema";
import { Button, Icon, Kbd, Loaded, ProblemView } from "../../ui";
import { AssetPicker } from "../../ui/AssetPicker";
import { SchemaForm } from "../../ui/SchemaForm";
import { ToolThumb } from "../../ui/ToolMedia";
import css from "./Inspector.module.css";
import { toolSentence, toolTitle } from "./tools";

/** What the person asked for, at the price that they saw: it is the most that may be taken. */
export interface Order {
  tool: string;
  version: string;
  input: Values;
  price_micro: number;
}

const DEBOUNCE_MS = 180;

export function Inspector({
  tools,
  chosen,
  onTool,
  asset,
  from,
  busy,
  starting,
  error,
  onRun,
}: {
  tools: UseQueryResult<Tool[]>;
  chosen: string | null;
  onTool: (name: string) => void;
  asset: Asset | null;
  from: Run | null;
  busy: string | null;
  starting: boolean;
  error: unknown;
  onRun: (order: Order) => void;
}) {
  const offered = tools.data ?? [];
  const tool = offered.find((one) => one.name === chosen) ?? offered[0];
  return (
    <aside className={css.inspector} aria-label="What should happen to it">
      <Loaded of={tools} waiting="Fetching the tools…">
        {() =>
          tool ? (
            <>
              <fieldset className={css.tools}>
                <legend>{asset ? "What should happen to it?" : "What should be made?"}</legend>
                {offered.map((one) => (
                  <label key={one.name} className={css.tool}>
                    <input
                      type="radio"
                      name="tool"
                      checked={one.name === tool.name}
                      onChange={() => onTool(one.name)}
                    />
                    <span className={css.card}>
                      <span className={css.picture}>
                        <ToolThumb tool={one} />
                      </span>
                      <b>{toolTitle(one)}</b>
                    </span>
                  </label>
                ))}
              </fieldset>
              <ToolForm
                key={`${tool.name}@${tool.version}`}
                tool={tool}
                asset={asset}
                from={from?.tool === tool.name ? from : null}
                busy={busy}
                starting={starting}
                error={error}
                onRun={onRun}
              />
            </>
          ) : (
            <p>No tool is registered here. The operator adds one with a manifest.</p>
          )
        }
      </Loaded>
    </aside>
  );
}

function ToolForm({
  tool,
  asset,
  from,
  busy,
  starting,
  error,
  onRun,
}: {
  tool: Tool;
  asset: Asset | null;
  from: Run | null;
  busy: string | null;
  starting: boolean;
  error: unknown;
  onRun: (order: Order) => void;
}) {
  const fields = useMemo(() => fieldsOf(tool.input), [tool]);
  const [values, setValues] = useState<Values>(() => ({
    ...initialValues(fields),
    ...(from ? known(fields, from.input) : {}),
  }));
  useEffect(() => {
    // Opening a take shows what it was made with, ready to change one thing.
    if (from) setValues((old) => ({ ...old, ...known(fields, from.input) }));
  }, [from?.id, fields]);

  const whole = useMemo(
    () => inputOf(fields, values, asset?.id ?? null, asset?.content_type ?? null),
    [fields, values, asset],
  );
  const lacks = missing(fields, whole) ?? unfit(fields, asset);
  const input = lacks ? null : whole;
  const settled = useDebounced(input, DEBOUNCE_MS);
  const { project } = useSession();
  const quote = useQuery({
    ...quoteQuery(tool.name, tool.version, settled ?? {}, project?.id ?? null),
    enabled: settled !== null,
    placeholderData: keepPreviousData,
  });
  const current = settled === input && !quote.isPlaceholderData ? quote.data : undefined;
  const because = starting ? "It is being started" : (busy ?? lacks ?? blocked(current, quote.error));
  const run = () => {
    if (because || !input || !current) return;
    onRun({ tool: tool.name, version: tool.version, input, price_micro: current.price_micro });
  };
  useShortcuts({ "mod+enter": run });

  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault();
        run();
      }}
    >
      <p className={css.sentence}>{toolSentence(tool)}</p>
      {tool.problem && (
        <p className={css.stale} role="status">
          <Icon name="warn" /> Its file has a fault now: this is version {tool.version}, the last good one.{" "}
          <Link to={`/tools/${tool.name}`}>What it says</Link>
        </p>
      )}
      <SchemaForm
        fields={fields}
        values={values}
        faults={faultsOf(quote.error)}
        asset={(field) =>
          // What is on the stage goes into its field; every other one is chosen here.
          asset && field === stageField(fields, asset.content_type) ? null : (
            <AssetPicker
              field={field}
              value={typeof values[field.name] === "string" ? String(values[field.name]) : null}
              fault={faultsOf(quote.error)[field.name] ?? null}
              onChange={(id) => setValues((old) => ({ ...old, [field.name]: id }))}
            />
          )
        }
        onChange={(name, value) => setValues((old) => ({ ...old, [name]: value }))}
      />
      <div className={css.pay}>
        {quote.error && !current ? <ProblemView error={quote.error} onRetry={() => void quote.refetch()} /> : null}
        {Boolean(error) && !starting && <ProblemView error={error} />}
        {quote.data && <QuoteLines quote={quote.data} />}
        <Button type="submit" look="primary" size="large" because={because} data-testid="run">
          <span className={css.runText}>
            {toolTitle(tool)}
            {quote.data && (
              <span className={css.price}>
                {credits(quote.data.price_micro)} {creditWord(quote.data.price_micro)}
              </span>
            )}
          </span>
          <Kbd>⌘↵</Kbd>
        </Button>
        <p className={css.note} role="status">
          {note(quote.data, because)}
        </p>
        {quote.data && !quote.data.allowed && (
          <p className={css.note}>
            <Link to="/billing">See where credits come from</Link>, or{" "}
            <Link to="/team">ask whoever gave you yours</Link>.
          </p>
        )}
      </div>
    </form>
  );
}

/** Why what is on the stage is not for this tool, or null. */
function unfit(fields: ReturnType<typeof fieldsOf>, asset: Asset | null): string | null {
  const field = asset && stageField(fields, asset.content_type);
  if (!asset || !field || takes(field, asset.content_type)) return null;
  const kinds = mediaOf(field).map((kind) => ({ image: "a picture", video: "a clip", audio: "a sound" })[kind]);
  return `It takes ${kinds.join(" or ")}: this one is ${asset.content_type}`;
}

function QuoteLines({ quote }: { quote: Quote }) {
  if (quote.lines.length < 2) return null;
  return (
    <ul className={css.lines}>
      {quote.lines.map((line) => (
        <li key={line.label}>
          <span>{line.label}</span> <span>{credits(line.amount_micro)}</span>
        </li>
      ))}
    </ul>
  );
}

function note(quote: Quote | undefined, because: string | null): string {
  if (because) return because;
  if (!quote) return "";
  const left = quote.available_micro - quote.price_micro;
  return [
    startEstimate(quote.start_p50_ms, quote.start_p90_ms),
    quote.run_ms ? `runs about ${duration(quote.run_ms)}` : "",
    `${credits(left)} credits left after it`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Why the run cannot be started now, or null. */
function blocked(quote: Quote | undefined, error: unknown): string | null {
  if (error) return error instanceof ProblemError ? error.problem.title : "The price is not known";
  if (!quote) return "Asking for the price";
  if (!quote.possible) return quote.impossible_because || "No worker that is connected can run this now";
  if (quote.price_micro > quote.available_micro)
    return `This costs ${credits(quote.price_micro)} and ${credits(quote.available_micro)} credits are available`;
  if (!quote.allowed) return quote.refused_because || "Your mandate does not allow it";
  return null;
}

function faultsOf(error: unknown): Record<string, string> {
  if (!(error instanceof ProblemError)) return {};
  return Object.fromEntries(
    (error.problem.errors ?? []).map((fault) => [fault.pointer.split("/").pop() ?? "", fault.message]),
  );
}

function known(fields: ReturnType<typeof fieldsOf>, input: Values): Values {
  return Object.fromEntries(
    fields.filter((field) => field.name in input).map((field) => [field.name, input[field.name]]),
  );
}

function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
