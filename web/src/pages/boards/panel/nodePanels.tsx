import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "react-router";
import { boardCalls, boardKeys } from "../../../api/boards";
import { assetQuery } from "../../../api/queries";
import type { Tool } from "../../../api/types";
import { bytes, credits, creditWord, dimensions, duration, readable } from "../../../lib/format";
import { ratioOf } from "../../../lib/media";
import { fieldsOf, type Values } from "../../../lib/schema";
import { Button, ButtonLink, Icon } from "../../../ui";
import { AssetPicker } from "../../../ui/AssetPicker";
import { SchemaForm } from "../../../ui/SchemaForm";
import { Sound } from "../../../ui/Sound";
import { toolSentence } from "../../studio/tools";
import { SharedTextarea } from "../canvas/NodeText";
import { useEdges, useMedia, useOpen } from "../context";
import type { NodeFacts } from "../doc/facts";
import { inputsOf, mediaWord } from "../doc/ports";
import type { BoardNode } from "../doc/types";
import { useRunBoard } from "../RunButton";
import { inputFaults, nodeTitle, workWords } from "../words";
import { TakesStrip } from "./TakesStrip";
import css from "./panel.module.css";

/** A tool: its takes first, then what feeds it, its settings, and the price of one more take. */
export function ToolPanel({ node, facts, tool }: { node: BoardNode; facts: NodeFacts; tool: Tool | undefined }) {
  const { board, canEdit, canRun } = useOpen();
  const fields = useMemo(() => (tool ? fieldsOf(tool.input) : []), [tool]);
  const fed = new Set(
    useEdges()
      .filter((edge) => edge.to === node.id)
      .map((edge) => edge.toPort),
  );
  const words = workWords(facts);
  if (!tool)
    return (
      <p className={css.fault}>
        <Icon name="warn" /> The tool {String(node.params.tool ?? "of this node")} is not in the catalogue any more. Its
        takes stay; it cannot run.
      </p>
    );
  const values = (node.params.input ?? {}) as Values;
  const own = fields.filter((field) => field.kind !== "asset" && !fed.has(field.name));
  return (
    <>
      <TakesStrip node={node} facts={facts} />
      <p className={css.state} data-tone={words.tone} role="status">
        {words.icon && <Icon name={words.icon} />}
        <span>{words.text}</span>
        {facts.runId && facts.work !== "idle" && <Link to={`/runs/${facts.runId}`}>What happened</Link>}
      </p>
      {canRun && <RunOne node={node} facts={facts} />}
      <Feeds node={node} tool={tool} />
      <p className={css.quiet}>{toolSentence(tool)}</p>
      <fieldset className={css.form} disabled={!canEdit}>
        <legend className="sr-only">Settings</legend>
        <SchemaForm
          fields={own}
          values={values}
          faults={inputFaults(facts.problem)}
          onChange={(name, value) => board.setInput(node.id, name, value)}
        />
      </fieldset>
    </>
  );
}

/** Runs one tool: what is stale, or, where nothing is, one more take of the same. What it needs runs with it. */
function RunOne({ node, facts }: { node: BoardNode; facts: NodeFacts }) {
  const { id } = useOpen();
  const run = useRunBoard();
  const again = facts.stale === null && facts.takes.length > 0;
  const wanted = { nodes: [node.id], ...(again ? { force: true } : {}) };
  const plan = useQuery({
    queryKey: [...boardKeys.plan(id), node.id, again],
    queryFn: () => boardCalls.plan(id, wanted),
    enabled: facts.problem === null && facts.work !== "running" && facts.work !== "waiting",
    retry: false,
  });
  const price = plan.data?.price_micro;
  const because =
    facts.work === "running" || facts.work === "waiting"
      ? "It is running"
      : facts.problem
        ? readable(facts.problem.message)
        : run.isPending
          ? "It is being started"
          : plan.data?.problems[0]
            ? readable(plan.data.problems[0].message)
            : price === undefined || plan.isFetching
              ? "Asking for the price"
              : null;
  const with_ = (plan.data?.stale.length ?? 1) - 1;
  return (
    <Button
      look={again ? "plain" : "primary"}
      because={because}
      onClick={() => price !== undefined && run.mutate({ ...wanted, max_price_micro: price })}
    >
      <Icon name="play" /> {again ? "One more take" : with_ > 0 ? `Run this and ${with_} before it` : "Run this one"}
      {price !== undefined &&
        !plan.data?.problems.length &&
        !facts.problem &&
        ` · ${credits(price)} ${creditWord(price)}`}
    </Button>
  );
}

/** What is led into each port, in words, and how to take it away. */
function Feeds({ node, tool }: { node: BoardNode; tool: Tool | undefined }) {
  const { board, facts, canEdit, select } = useOpen();
  const edges = useEdges().filter((edge) => edge.to === node.id);
  const ports = inputsOf(node, tool);
  if (ports.length === 0) return null;
  return (
    <dl className={css.feeds}>
      {ports.map((port) => {
        const edge = edges.find((one) => one.toPort === port.name);
        const from = edge && board.node(edge.from);
        if (!from && !port.required && port.takes[0] === "text") return null;
        return (
          <div key={port.name}>
            <dt>{port.label}</dt>
            <dd>
              {edge && from ? (
                <>
                  <button type="button" className={css.link} onClick={() => select([from.id])}>
                    {nodeTitle(from, facts.tool(from))}
                  </button>
                  {canEdit && (
                    <Button
                      look="quiet"
                      icon="close"
                      aria-label={`Disconnect ${port.label}`}
                      onClick={() => {
                        board.step();
                        board.remove([], [edge.id]);
                      }}
                    />
                  )}
                </>
              ) : (
                <Feeder node={node} port={port.name} label={port.label} takes={port.takes} required={port.required} />
              )}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

/** The way to connect that needs no pointer: a list of what would fit. */
function Feeder({
  node,
  port,
  label,
  takes,
  required,
}: {
  node: BoardNode;
  port: string;
  label: string;
  takes: readonly string[];
  required: boolean;
}) {
  const { board, facts, canEdit } = useOpen();
  const fits = board.nodes.filter((one) => {
    const { makes } = facts.of(one.id);
    return one.id !== node.id && makes !== null && takes.includes(makes) && !board.wouldCircle(one.id, node.id);
  });
  if (!canEdit || fits.length === 0)
    return (
      <span className={required ? css.missing : css.quiet}>
        {required ? `Lead a ${mediaWord(takes as never)} in` : "Nothing"}
      </span>
    );
  return (
    <select
      className={css.feeder}
      aria-label={`What feeds ${label}`}
      value=""
      onChange={(event) => {
        board.step();
        board.connect(event.target.value, "out", node.id, port);
      }}
    >
      <option value="">{required ? "Choose what feeds it" : "Nothing"}</option>
      {fits.map((one) => (
        <option key={one.id} value={one.id}>
          {nodeTitle(one, facts.tool(one))}
        </option>
      ))}
    </select>
  );
}

/** A picture, clip or sound: large, with its facts. A shot shows what feeds it. */
export function MediaPanel({ node, facts }: { node: BoardNode; facts: NodeFacts }) {
  const { canEdit, isHome } = useOpen();
  const { contentUrl, previewUrl } = useMedia();
  const asset = useQuery({ ...assetQuery(facts.asset ?? ""), enabled: isHome && facts.asset !== null, retry: false });
  const { makes } = facts;
  return (
    <>
      {facts.asset && makes && makes !== "text" && (
        <div className={css.large} style={{ aspectRatio: asset.data ? ratioOf(asset.data) : undefined }}>
          {makes === "image" && <img src={previewUrl(facts.asset)} alt="" />}
          {makes === "video" && <video src={contentUrl(facts.asset)} controls playsInline preload="metadata" />}
          {makes === "audio" &&
            (asset.data ? (
              <Sound src={contentUrl(facts.asset)} label={asset.data.name} size_bytes={asset.data.size_bytes} />
            ) : (
              !isHome && <audio src={contentUrl(facts.asset)} controls preload="none" />
            ))}
        </div>
      )}
      {canEdit && isHome && node.kind !== "shot" && <ChooseMedia node={node} />}
      {asset.error ? (
        <p className={css.fault}>
          <Icon name="warn" /> It was deleted from the library. What uses it here cannot run.
        </p>
      ) : (
        asset.data && (
          <p className={css.quiet}>
            {[
              asset.data.name,
              dimensions(asset.data.width, asset.data.height),
              asset.data.duration_ms ? duration(asset.data.duration_ms) : "",
              bytes(asset.data.size_bytes),
            ]
              .filter(Boolean)
              .join(" · ")}
          </p>
        )
      )}
      {node.kind === "shot" && <Feeds node={node} tool={undefined} />}
      {facts.asset && (
        <div className={css.acts}>
          <ButtonLink to={`/library/${facts.asset}`}>In the library</ButtonLink>
          {makes === "image" && node.kind === "image" && (
            <ButtonLink to={`/studio?asset=${facts.asset}`}>In the studio</ButtonLink>
          )}
        </div>
      )}
    </>
  );
}

const ACCEPTED: Record<"image" | "video" | "audio", { label: string; accepts: string[] }> = {
  image: { label: "Picture", accepts: ["image/png", "image/jpeg", "image/webp", "image/gif"] },
  video: { label: "Clip", accepts: ["video/mp4", "video/webm", "video/quicktime"] },
  audio: {
    label: "Sound",
    accepts: ["audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4"],
  },
};

/** What a source is: something of the library, or brought in now. */
function ChooseMedia({ node }: { node: BoardNode }) {
  const { board } = useOpen();
  const client = useQueryClient();
  const kind = node.kind as keyof typeof ACCEPTED;
  const { asset } = node.params;
  return (
    <AssetPicker
      field={{ kind: "asset", name: "asset", help: "", required: true, ...ACCEPTED[kind] }}
      value={typeof asset === "string" && asset ? asset : null}
      onChange={(id) => {
        board.step();
        board.setParam(node.id, "asset", id);
        if (!id) return;
        // Its name is for people only: without it the node is called by its kind.
        client.fetchQuery(assetQuery(id)).then(
          (chosen) => board.setParam(node.id, "name", chosen.name),
          () => undefined,
        );
      }}
    />
  );
}

export function TextPanel({ node }: { node: BoardNode }) {
  const { board, canEdit } = useOpen();
  const name = node.kind === "prompt" ? "prompt" : "text";
  const value = String(node.params[name] ?? "");
  return (
    <>
      <SharedTextarea
        className={css.area}
        label={node.kind === "prompt" ? "Prompt" : "Note"}
        value={value}
        readOnly={!canEdit}
        placeholder={node.kind === "prompt" ? "What should be in it?" : "A note to whoever comes here"}
        onChange={(next) => board.setText(node.id, name, next)}
      />
      {node.kind === "prompt" && (
        <p className={css.quiet}>
          Pull a line from its right edge to a tool that takes text. Several people may write in it at once.
        </p>
      )}
    </>
  );
}
