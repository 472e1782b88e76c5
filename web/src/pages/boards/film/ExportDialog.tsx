import { useMutation, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { boardCalls, boardKeys, isOverBoardRun, type BoardRun } from "../../../api/boards";
import { useLiveRun } from "../../../api/live";
import { toProblem } from "../../../api/problem";
import { assetQuery, keys, runQuery } from "../../../api/queries";
import type { Asset } from "../../../api/types";
import { ago, credits, creditWord } from "../../../lib/format";
import { idempotencyKey } from "../../../lib/keys";
import { isOver, progressOf } from "../../../lib/phases";
import { Button, ButtonAnchor, ButtonLink, Dialog, Icon, ProblemView, SelectField, useNow } from "../../../ui";
import { Player } from "../../../ui/Player";
import { useToasts } from "../../../ui/toasts";
import { PublishDialog } from "../../../publish/PublishDialog";
import { useMedia, useOpen } from "../context";
import { filmClock } from "../doc/film";
import { useFilm, type Film } from "./useFilm";
import css from "./film.module.css";

const SHAPES = [
  { name: "1080p", label: "1920 × 1080, wide", width: 1_920, height: 1_080 },
  { name: "720p", label: "1280 × 720, wide", width: 1_280, height: 720 },
  { name: "portrait", label: "1080 × 1920, upright", width: 1_080, height: 1_920 },
  { name: "square", label: "1080 × 1080, square", width: 1_080, height: 1_080 },
] as const;
const RATES = [24, 25, 30, 60] as const;
/** EBU R 128 for broadcast, and what streaming services play at. */
const LOUDNESS = [
  { value: "-16", label: "−16 LUFS, for the web and phones" },
  { value: "-14", label: "−14 LUFS, as streaming services" },
  { value: "-23", label: "−23 LUFS, as broadcast" },
] as const;
const NOW_MS = 15_000;

/** Makes the film a file: what it will be, what it costs at most, how far it is, and what was made before. */
export default function ExportDialog({
  title,
  runs,
  onClose,
}: {
  title: string;
  runs: UseQueryResult<BoardRun[]>;
  onClose: () => void;
}) {
  const film = useFilm();
  const { id, canRun } = useOpen();
  const made = (runs.data ?? []).filter((run) => run.kind === "film");
  const going = made.find((run) => !isOverBoardRun(run));
  const newest = made.find((run) => run.asset_id);
  const failed = made[0]?.state === "failed" ? made[0] : null;
  const [publishing, setPublishing] = useState<Asset | null>(null);
  // A film is called what its board is called, until its author says otherwise.
  if (publishing)
    return <PublishDialog asset={{ ...publishing, name: title || publishing.name }} boardId={id} onClose={onClose} />;
  return (
    <Dialog open wide={Boolean(newest)} onClose={onClose} title="The film">
      <div className={css.export} data-made={newest ? true : undefined}>
        {newest?.asset_id && <Made run={newest} title={title} onPublish={setPublishing} />}
        {failed && (
          <p className={css.faults} role="alert">
            <span className={css.row}>
              <Icon name="warn" /> The last export failed:{" "}
              {failed.children[0]?.failure?.message ?? "the server did not say why"}. Nothing was charged for it.
            </span>
          </p>
        )}
        {going ? (
          <Going run={going} />
        ) : canRun ? (
          film.frames.length === 0 ? (
            <NothingYet onLeave={onClose} />
          ) : (
            <Order film={film} />
          )
        ) : (
          !newest && <p className={css.quiet}>No film was exported yet.</p>
        )}
      </div>
    </Dialog>
  );
}

function Made({ run, title, onPublish }: { run: BoardRun; title: string; onPublish: (film: Asset) => void }) {
  const { isHome } = useOpen();
  const { contentUrl } = useMedia();
  const asset = useQuery({ ...assetQuery(run.asset_id ?? ""), enabled: isHome });
  const now = useNow(NOW_MS);
  return (
    <div className={css.result}>
      <div className={css.made}>
        <Player src={contentUrl(run.asset_id ?? "")} label={title || "The film"} />
      </div>
      <div className={css.row}>
        <p>
          {run.seconds ? `${run.seconds.toFixed(1)} s · ` : ""}
          {credits(run.settled_micro ?? 0)} {creditWord(run.settled_micro ?? 0)} · {ago(run.created_at, now)}
        </p>
        <ButtonAnchor icon="download" href={contentUrl(run.asset_id ?? "")} download={`${title || "film"}.mp4`}>
          Download
        </ButtonAnchor>
        {run.otio_url && (
          <ButtonAnchor href={run.otio_url} download={`${title || "film"}.otio`}>
            Timeline (OTIO)
          </ButtonAnchor>
        )}
        {isHome && (
          <>
            <ButtonLink to={`/library/${run.asset_id}`}>In the library</ButtonLink>
            <Button
              icon="publish"
              because={asset.data ? null : "Asking what became of it"}
              onClick={() => asset.data && onPublish(asset.data)}
            >
              Publish
            </Button>
          </>
        )}
      </div>
    </div>
  );
}

function Going({ run }: { run: BoardRun }) {
  const { id } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const cancel = useMutation({
    mutationFn: () => boardCalls.cancel(run.id),
    onSettled: () => client.invalidateQueries({ queryKey: boardKeys.runs(id) }),
    onError: sayProblem,
  });
  const runId = run.children[0]?.run_id ?? null;
  const making = useQuery({ ...runQuery(runId ?? ""), enabled: runId !== null, retry: false });
  useLiveRun(runId, making.data ? isOver(making.data) : false);
  const progress = making.data && !isOver(making.data) ? progressOf(making.data) : null;
  const stopping = run.state === "canceling" || cancel.isPending;
  return (
    <div className={css.result}>
      <div className={css.row}>
        <p role="status">
          {stopping
            ? "Stopping, until the worker confirms"
            : run.state === "queued"
              ? "Queued"
              : progress
                ? [progress.word, progress.detail].filter(Boolean).join(" · ")
                : "Making the film"}{" "}
          · at most {credits(run.price_micro)} {creditWord(run.price_micro)}
        </p>
        <Button icon="stop" because={stopping ? "It is being stopped" : null} onClick={() => cancel.mutate()}>
          Cancel
        </Button>
      </div>
      {progress?.fraction != null && (
        <span className={css.bar} aria-hidden="true">
          <i style={{ width: `${progress.fraction * 100}%` }} />
        </span>
      )}
    </div>
  );
}

function NothingYet({ onLeave }: { onLeave: () => void }) {
  return (
    <div className={css.result}>
      <p className={css.quiet}>
        Nothing is in the film yet. Put pictures and takes in order on the storyboard; then it is exported here.
      </p>
      <div className={css.row}>
        <ButtonLink look="primary" icon="storyboard" to="?view=storyboard" onClick={onLeave}>
          Open the storyboard
        </ButtonLink>
      </div>
    </div>
  );
}

/** What has nothing to show yet, and the way on without it; one step back brings it again. */
function Missing({ film }: { film: Film }) {
  const { board } = useOpen();
  const missing = film.frames.filter((one) => !one.asset);
  if (missing.length === 0) return null;
  const leaveOut = () => {
    board.step();
    for (const { clip } of missing) board.removeClip(clip.id);
  };
  if (missing.length === film.frames.length)
    return <p className={css.quiet}>No shot has a take yet: run the board, or put something else into the film.</p>;
  return (
    <div className={css.row}>
      <p>
        {missing.length} of {film.frames.length} shots {missing.length === 1 ? "has" : "have"} no take yet: run the
        board, or go on without.
      </p>
      <Button onClick={leaveOut}>Leave them out</Button>
    </div>
  );
}

function Order({ film }: { film: Film }) {
  const { id } = useOpen();
  const count = film.frames.length;
  const missing = film.frames.filter((one) => !one.asset).length;
  const client = useQueryClient();
  const [shape, setShape] = useState<(typeof SHAPES)[number]["name"]>("1080p");
  const [rate, setRate] = useState<number>(24);
  const [loudness, setLoudness] = useState<string>(LOUDNESS[0].value);
  const key = useRef(idempotencyKey());
  const { width, height } = SHAPES.find((one) => one.name === shape) ?? SHAPES[0];
  const body = { width, height, fps: rate, loudness_lufs: Number(loudness) };
  const price = useQuery({
    queryKey: [...boardKeys.plan(id), "film", body],
    queryFn: () => boardCalls.filmPrice(id, body),
    enabled: missing === 0,
    retry: false,
    staleTime: 30_000,
  });
  const order = useMutation({
    mutationFn: (max_price_micro: number) => boardCalls.export(id, { ...body, max_price_micro }, key.current),
    onSettled: () => {
      key.current = idempotencyKey();
    },
    onSuccess: (run) => {
      client.setQueryData<BoardRun[]>(boardKeys.runs(id), (old) => [run, ...(old ?? [])]);
      void client.invalidateQueries({ queryKey: keys.balance });
    },
  });
  const because =
    missing > 0
      ? `${missing} of ${count} shots have no take yet`
      : order.isPending
        ? "It is being started"
        : price.error
          ? toProblem(price.error).title
          : price.data === undefined || price.isFetching
            ? "Asking for the price"
            : null;
  return (
    <div className={css.order}>
      <p className={css.quiet}>
        {count} {count === 1 ? "shot" : "shots"}, {filmClock(film.ms)}. Sizes and frame rates become one, sound gets one
        loudness; the cut goes along as an OpenTimelineIO file.
      </p>
      <Missing film={film} />
      <div className={css.two}>
        <SelectField label="Size" value={shape} onChange={(event) => setShape(event.target.value as typeof shape)}>
          {SHAPES.map((one) => (
            <option key={one.name} value={one.name}>
              {one.label}
            </option>
          ))}
        </SelectField>
        <SelectField label="Frames a second" value={rate} onChange={(event) => setRate(Number(event.target.value))}>
          {RATES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </SelectField>
      </div>
      <SelectField label="Loudness" value={loudness} onChange={(event) => setLoudness(event.target.value)}>
        {LOUDNESS.map((one) => (
          <option key={one.value} value={one.value}>
            {one.label}
          </option>
        ))}
      </SelectField>
      {order.error || price.error ? <ProblemView error={order.error ?? price.error} /> : null}
      <Button
        look="primary"
        size="large"
        icon="film"
        because={because}
        onClick={() => price.data !== undefined && order.mutate(price.data)}
      >
        Export the film
        {price.data !== undefined && ` · ${credits(price.data)} ${creditWord(price.data)}`}
      </Button>
    </div>
  );
}
