import type { UseQueryResult } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { Asset, OutputAsset, Run, Tool } from "../../api/types";
import { bytes, capital, dimensions, duration } from "../../lib/format";
import { contentUrl, isAudio, isImage, isVideo, previewUrl, ratioOf } from "../../lib/media";
import { isOver, moneySentence } from "../../lib/phases";
import { takeLabel } from "../../lib/schema";
import { PublishDialog } from "../../publish/PublishDialog";
import { Button, ButtonAnchor, ButtonLink, ProblemView, StateTag } from "../../ui";
import { Compare } from "../../ui/Compare";
import { Sound } from "../../ui/Sound";
import { RunProgress, SendingProgress } from "./Progress";
import css from "./Stage.module.css";
import type { Sending } from "./useUploads";

interface Props {
  asset: UseQueryResult<Asset>;
  /** The tool that makes something of words alone, where nothing is on the stage. */
  words: Tool | null;
  sending: Sending | null;
  run: UseQueryResult<Run> | null;
  against: Run | undefined;
  starting: boolean;
  onCancel: () => void;
  onChoose: () => void;
  onUse: (assetId: string) => void;
  onSource: () => void;
  onCompare: (() => void) | null;
  onKeep: (kept: Run, other: Run) => void;
}

/** The work, as large as the window allows, and one line under it that says what it is. */
export function Stage(props: Props) {
  const { asset, sending, run, against, starting } = props;
  if (sending) {
    return (
      <Frame name={sending.name} foot={<SendingProgress sending={sending} onChoose={props.onChoose} />}>
        <div className={css.fitter}>
          <img src={sending.localUrl} alt={sending.name} className={css.local} />
        </div>
      </Frame>
    );
  }
  if (asset.error)
    return (
      <Frame name="Studio">
        <div className={css.fault}>
          <ProblemView error={asset.error} onRetry={() => void asset.refetch()} />
          <Button onClick={props.onChoose}>Choose a photograph</Button>
        </div>
      </Frame>
    );
  const source = asset.data ?? null;
  const name = source?.name ?? props.words?.label ?? "";
  if (!source && !props.words) return <Frame name="Opening the picture…">{null}</Frame>;
  if (run?.error)
    return (
      <Frame name={name}>
        <div className={css.fault}>
          <ProblemView error={run.error} onRetry={() => void run.refetch()} />
        </div>
      </Frame>
    );
  const open = run?.data;
  const output = open?.state === "succeeded" ? open.outputs[0] : undefined;
  if (open && output) {
    const other = against?.state === "succeeded" ? against.outputs[0] : undefined;
    return (
      <Result
        source={source}
        run={open}
        output={output}
        other={against && other ? { run: against, output: other } : undefined}
        onUse={props.onUse}
        onCompare={props.onCompare}
        onKeep={props.onKeep}
      />
    );
  }
  const foot = starting ? (
    <RunProgress run={null} onCancel={null} />
  ) : open && !isOver(open) ? (
    <RunProgress run={open} onCancel={props.onCancel} />
  ) : open ? (
    <Ended run={open} onSource={source ? props.onSource : null} />
  ) : source ? (
    <Facts asset={source} />
  ) : undefined;
  return (
    <Frame name={name} foot={foot} dim={Boolean(open && isOver(open))}>
      {!source ? (
        <div className={css.words}>
          <h2>{open && !isOver(open) ? "It is being made" : "Say what it should make"}</h2>
          <p>{props.words?.description} Nothing need be on the stage for it.</p>
        </div>
      ) : isVideo(source) ? (
        <video src={contentUrl(source.id)} controls className={css.media} aria-label={source.name} />
      ) : isAudio(source) ? (
        <Sound src={contentUrl(source.id)} label={source.name} size_bytes={source.size_bytes} />
      ) : (
        <Box ratio={ratioOf(source)} zoom="fit">
          <img
            src={contentUrl(source.id)}
            alt={source.name}
            className={css.whole}
            style={{ background: `center / 100% 100% url(${previewUrl(source.id)})` }}
          />
        </Box>
      )}
    </Frame>
  );
}

function Frame({
  name,
  foot,
  dim = false,
  tools,
  children,
}: {
  name: string;
  foot?: React.ReactNode;
  dim?: boolean;
  tools?: React.ReactNode;
  children: React.ReactNode;
}) {
  return (
    <section className={css.stage} aria-label={`Stage: ${name}`}>
      {tools && <div className={css.tools}>{tools}</div>}
      <div className={dim ? `${css.canvas} ${css.dim}` : css.canvas}>{children}</div>
      {foot && <div className={css.foot}>{foot}</div>}
    </section>
  );
}

function Facts({ asset }: { asset: Asset }) {
  const facts = [
    dimensions(asset.width, asset.height),
    asset.duration_ms ? duration(asset.duration_ms) : "",
    bytes(asset.size_bytes),
    asset.content_type,
  ];
  return (
    <p className={css.facts}>
      <b>{asset.name}</b>
      <span>{facts.filter(Boolean).join(" · ")}</span>
    </p>
  );
}

function Ended({ run, onSource }: { run: Run; onSource: (() => void) | null }) {
  return (
    <div className={css.ended} role="status">
      <p>
        <StateTag state={run.state} /> <b>{endedSentence(run)}</b>
      </p>
      <p>
        {capital(moneySentence(run))}. {run.failure?.charged_because}
      </p>
      {run.failure?.detail && <p>{run.failure.detail}</p>}
      <div className={css.actions}>
        {onSource && <Button onClick={onSource}>Back to the photograph</Button>}
        <ButtonLink to={`/runs/${run.id}`}>What happened when</ButtonLink>
      </div>
    </div>
  );
}

function endedSentence(run: Run): string {
  if (run.failure) return run.failure.message;
  if (run.state === "canceled") return "Stopped. The worker has confirmed it.";
  if (run.state === "expired") return "It waited longer than it was allowed to.";
  return "It ended without a result.";
}

type Zoom = "fit" | "full";

function Result({
  source,
  run,
  output,
  other,
  onUse,
  onCompare,
  onKeep,
}: Pick<Props, "onUse" | "onCompare" | "onKeep"> & {
  source: Asset | null;
  run: Run;
  output: OutputAsset;
  other: Take | undefined;
}) {
  const [beside, setBeside] = useState(false);
  const [zoom, setZoom] = useState<Zoom>("fit");
  const [publishing, setPublishing] = useState(false);
  const image = isImage(output);
  const label = takeLabel(run.input);
  return (
    <Frame
      name={source ? `${source.name}, ${label}` : label}
      tools={
        <>
          {image && other && isImage(other.output) && (
            <Button look="quiet" aria-pressed={beside} onClick={() => setBeside(!beside)}>
              {beside ? "One over the other" : "Side by side"}
            </Button>
          )}
          {image && !(other && beside) && (
            <Button
              look="quiet"
              aria-pressed={zoom === "full"}
              onClick={() => setZoom(zoom === "fit" ? "full" : "fit")}
            >
              {zoom === "fit" ? "See every pixel" : "Fit to the window"}
            </Button>
          )}
          {onCompare && (
            <Button look="quiet" icon="compare" aria-pressed={Boolean(other)} onClick={onCompare}>
              {other ? "Stop comparing takes" : "Compare takes"}
            </Button>
          )}
        </>
      }
      foot={
        other ? (
          <Choice left={other} right={{ run, output }} onKeep={onKeep} />
        ) : (
          <div className={css.result}>
            <p className={css.facts}>
              <b>{label}</b>
              <span>
                {[
                  dimensions(output.width, output.height),
                  output.duration_ms ? duration(output.duration_ms) : "",
                  bytes(output.size_bytes),
                  moneySentence(run),
                ]
                  .filter(Boolean)
                  .join(" · ")}
              </span>
            </p>
            <div className={css.actions}>
              <ButtonLink to={`/runs/${run.id}`} look="quiet">
                What happened when
              </ButtonLink>
              {output.id && <Button onClick={() => onUse(output.id)}>Go on with this one</Button>}
              {output.id && (
                <ButtonAnchor href={contentUrl(output.id)} download={output.name} icon="download">
                  Download
                </ButtonAnchor>
              )}
              {(image || isVideo(output)) && (
                <Button icon="publish" onClick={() => setPublishing(true)}>
                  Publish
                </Button>
              )}
              {publishing && (
                <PublishDialog asset={{ ...output, run_id: run.id }} onClose={() => setPublishing(false)} />
              )}
            </div>
          </div>
        )
      }
    >
      {other ? (
        <Both left={other} right={{ run, output }} zoom={zoom} beside={beside} />
      ) : isVideo(output) ? (
        <Clip asset={output} label={label} />
      ) : isAudio(output) ? (
        <Sound src={contentUrl(output.id)} label={label} size_bytes={output.size_bytes} />
      ) : !image ? (
        <pre className={css.value}>{JSON.stringify(output.value ?? {}, null, 2)}</pre>
      ) : !source || !isImage(source) ? (
        <Box ratio={ratioOf(output)} zoom={zoom} width={output.width}>
          <img src={contentUrl(output.id)} alt={label} className={css.whole} />
        </Box>
      ) : (
        <Box ratio={ratioOf(output)} zoom={zoom} width={output.width}>
          <Compare
            before={<img src={contentUrl(source.id)} alt={`Before: ${source.name}`} />}
            after={<img src={contentUrl(output.id)} alt={`After: ${label}`} className={css.checked} />}
            beforeLabel={`Before ${dimensions(source.width, source.height)}`}
            afterLabel={`After ${dimensions(output.width, output.height)}`}
          />
        </Box>
      )}
    </Frame>
  );
}

/** A box of the picture's own ratio: as large as fits, or one screen pixel for each of its pixels. */
function Box({
  ratio,
  zoom,
  width,
  children,
}: {
  ratio: number;
  zoom: Zoom;
  width?: number | null;
  children: React.ReactNode;
}) {
  const full = zoom === "full" && width ? `${width / devicePixelRatio}px` : null;
  return (
    <div className={full ? css.scroller : css.fitter}>
      <div
        className={css.box}
        style={
          full ? { width: full, aspectRatio: ratio } : { width: `min(100cqw, 100cqh * ${ratio})`, aspectRatio: ratio }
        }
      >
        {children}
      </div>
    </div>
  );
}

/** Two takes are there to be chosen from: what one does not keep goes. */
function Choice({ left, right, onKeep }: { left: Take; right: Take; onKeep: Props["onKeep"] }) {
  const pairs = [
    [left, right],
    [right, left],
  ] as const;
  return (
    <div className={css.choice}>
      {pairs.map(([one, other]) => (
        <div key={one.run.id}>
          <p className={css.facts}>
            <b>{takeLabel(one.run.input)}</b>
            <span>
              {[dimensions(one.output.width, one.output.height), bytes(one.output.size_bytes)]
                .filter(Boolean)
                .join(" · ")}
            </span>
          </p>
          <Button
            icon="check"
            onClick={() => onKeep(one.run, other.run)}
            aria-label={`Keep ${takeLabel(one.run.input)}`}
          >
            Keep this one
          </Button>
        </div>
      ))}
    </div>
  );
}

function stillness(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function Clip({
  asset,
  label,
  innerRef,
}: {
  asset: OutputAsset;
  label: string;
  innerRef?: React.Ref<HTMLVideoElement>;
}) {
  return (
    <video
      ref={innerRef}
      key={asset.id}
      src={contentUrl(asset.id)}
      poster={previewUrl(asset.id)}
      className={css.media}
      controls
      loop
      muted
      playsInline
      autoPlay={!stillness()}
      aria-label={`Clip: ${label}`}
      data-testid="clip"
    />
  );
}

interface Take {
  run: Run;
  output: OutputAsset;
}

/** Two takes: one frame with a line where both are pictures, else beside each other, clips in step. */
function Both({ left, right, zoom, beside }: { left: Take; right: Take; zoom: Zoom; beside: boolean }) {
  const clips = useRef<(HTMLVideoElement | null)[]>([]);
  const labels = [takeLabel(left.run.input), takeLabel(right.run.input)] as const;
  if (!beside && isImage(left.output) && isImage(right.output)) {
    return (
      <Box ratio={ratioOf(right.output)} zoom={zoom} width={right.output.width}>
        <Compare
          before={<img src={contentUrl(left.output.id)} alt={labels[0]} />}
          after={<img src={contentUrl(right.output.id)} alt={labels[1]} />}
          beforeLabel={labels[0]}
          afterLabel={labels[1]}
        />
      </Box>
    );
  }
  const restart = () => {
    for (const clip of clips.current) {
      if (!clip) continue;
      clip.currentTime = 0;
      void clip.play();
    }
  };
  return (
    <div className={css.both}>
      {[left, right].map(({ run, output }, index) => (
        <figure key={run.id}>
          {isAudio(output) ? (
            <Sound src={contentUrl(output.id)} label={labels[index] ?? ""} size_bytes={output.size_bytes} />
          ) : isVideo(output) ? (
            <Clip asset={output} label={labels[index] ?? ""} innerRef={(clip) => void (clips.current[index] = clip)} />
          ) : (
            <img src={contentUrl(output.id)} alt={labels[index]} className={css.media} />
          )}
          <figcaption>{labels[index]}</figcaption>
        </figure>
      ))}
      {isVideo(left.output) && isVideo(right.output) && (
        <Button className={css.together} icon="play" onClick={restart}>
          Play both from the start
        </Button>
      )}
    </div>
  );
}
