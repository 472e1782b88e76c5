import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { Button, ButtonLink, Icon, Slider, Tip } from "../../../ui";
import { useMedia } from "../context";
import { filmClock, onScreen } from "../doc/film";
import { useBoardKeys } from "../useBoardKeys";
import type { Film, Frame } from "./useFilm";
import type { Playback } from "./usePlayback";
import css from "./film.module.css";

const STEP_MS = 1_000;
const FRAME_MS = 40;
const FAR_MS = 5_000;
/** A clip is fetched this long before it is on. */
const AHEAD_MS = 2_000;

/** Plays the film as the document says it now, without having it made: keys, scrubbing, and whose take one sees. */
export function Player({
  film,
  sound,
  play,
  compact = false,
}: {
  film: Film;
  sound: Film;
  play: Playback;
  compact?: boolean;
}) {
  const stage = useRef<HTMLDivElement>(null);
  const [muted, setMuted] = useState(false);
  const [captions, setCaptions] = useState(true);
  const { atMs, playing, toggle, seek, pause } = play;
  const jump = (ms: number) => () => {
    pause();
    seek(atMs + ms);
  };
  const full = () =>
    void (document.fullscreenElement ? document.exitFullscreen() : stage.current?.requestFullscreen?.());
  useBoardKeys(
    {
      " ": toggle,
      k: toggle,
      j: jump(-FAR_MS),
      l: jump(FAR_MS),
      ArrowLeft: jump(-STEP_MS),
      ArrowRight: jump(STEP_MS),
      ",": jump(-FRAME_MS),
      ".": jump(FRAME_MS),
      Home: () => seek(0),
      End: () => seek(film.ms),
      m: () => setMuted((was) => !was),
      c: () => setCaptions((was) => !was),
      f: full,
    },
    stage,
  );
  const shown = onScreen(film.frames, atMs) as Frame[];
  const near = film.frames.filter((one) => one.startMs < atMs + AHEAD_MS && one.endMs > atMs - FRAME_MS);
  const top = shown.at(-1);
  return (
    <div className={css.player} ref={stage} data-compact={compact || undefined}>
      <div className={css.stage} onClick={toggle}>
        {near.map((frame) => (
          <Layer
            key={frame.clip.id}
            frame={frame}
            atMs={atMs}
            playing={playing}
            muted={muted}
            shown={shown.includes(frame)}
          />
        ))}
        {sound.frames
          .filter((one) => one.startMs < atMs + AHEAD_MS && one.endMs > atMs)
          .map((frame) => (
            <Sound key={frame.clip.id} frame={frame} atMs={atMs} playing={playing} muted={muted} />
          ))}
        {film.frames.length === 0 && (
          <div className={css.nothing} onClick={(event) => event.stopPropagation()}>
            <h2>Nothing is in the film yet</h2>
            <p>Its shots are put in order on the storyboard; here they are timed.</p>
            <ButtonLink look="primary" to="?view=storyboard">
              Put takes in order on the storyboard
            </ButtonLink>
          </div>
        )}
        {top && !top.asset && (
          <p className={css.nothing}>{top.node ? `${top.title} has no take yet` : "This shot was deleted"}</p>
        )}
        {captions && top && <Caption frame={top} index={film.frames.indexOf(top)} />}
      </div>
      <div className={css.controls}>
        <Button
          look="quiet"
          icon={playing ? "pause" : "play"}
          aria-label={playing ? "Pause" : "Play"}
          because={film.ms === 0 ? "Nothing is in the film yet" : null}
          onClick={toggle}
        />
        <span className={css.clock}>
          {filmClock(atMs)} <span>/ {filmClock(film.ms)}</span>
        </span>
        <Scrub film={film} atMs={atMs} seek={seek} />
        <Tip text="Captions" keys="C">
          <Button
            look="quiet"
            icon="comment"
            aria-label="Captions: whose take one sees"
            aria-pressed={captions}
            onClick={() => setCaptions(!captions)}
          />
        </Tip>
        <Tip text={muted ? "Sound on" : "Mute"} keys="M">
          <Button
            look="quiet"
            icon={muted ? "mute" : "sound"}
            aria-label={muted ? "Sound on" : "Mute"}
            onClick={() => setMuted(!muted)}
          />
        </Tip>
        <Tip text="Fill the screen" keys="F">
          <Button look="quiet" icon="fit" aria-label="Fill the screen" onClick={full} />
        </Tip>
      </div>
    </div>
  );
}

function Scrub({ film, atMs, seek }: { film: Film; atMs: number; seek: (ms: number) => void }) {
  return (
    <div className={css.scrub}>
      <span className={css.marks} aria-hidden="true">
        {film.frames.slice(1).map((frame) => (
          <i key={frame.clip.id} style={{ left: `${(100 * frame.startMs) / Math.max(1, film.ms)}%` }} />
        ))}
      </span>
      <Slider
        aria-label="Place in the film"
        aria-valuetext={`${filmClock(atMs)} of ${filmClock(film.ms)}`}
        min={0}
        max={Math.max(1, film.ms)}
        step={FRAME_MS}
        value={atMs}
        onChange={(event) => seek(Number(event.target.value))}
      />
    </div>
  );
}

/** Number, what it is, which take, from which run: provenance while one looks. */
function Caption({ frame, index }: { frame: Frame; index: number }) {
  const take = frame.facts.shown;
  const of = frame.facts.takes.length - (take ? frame.facts.takes.indexOf(take) : 0);
  return (
    <p className={css.caption} onClick={(event) => event.stopPropagation()}>
      <b>{index + 1}</b> {frame.title}
      {take && (
        <>
          {frame.facts.takes.length > 0 && ` · take ${of}`}
          {take.seed != null && ` · seed ${take.seed}`} · <Link to={`/runs/${take.run_id}`}>how it was made</Link>
        </>
      )}
    </p>
  );
}

const DRIFT_S = 0.2;
const STILL_DRIFT_S = 0.03;

/** Keeps an element's own time at the film's. */
function useFollow(
  element: React.RefObject<HTMLMediaElement | null>,
  frame: Frame,
  atMs: number,
  playing: boolean,
  on: boolean,
) {
  useEffect(() => {
    const media = element.current;
    if (!media) return;
    const wanted = Math.max(0, (atMs - frame.startMs + frame.clip.inMs) / 1_000);
    if (Math.abs(media.currentTime - wanted) > (playing ? DRIFT_S : STILL_DRIFT_S)) media.currentTime = wanted;
    // Refused where the browser wants a gesture first; the pictures go on without it.
    if (playing && on && media.paused) media.play().catch(() => undefined);
    if ((!playing || !on) && !media.paused) media.pause();
  }, [element, frame, atMs, playing, on]);
}

function Layer({
  frame,
  atMs,
  playing,
  muted,
  shown,
}: {
  frame: Frame;
  atMs: number;
  playing: boolean;
  muted: boolean;
  shown: boolean;
}) {
  const video = useRef<HTMLVideoElement>(null);
  const { contentUrl } = useMedia();
  useFollow(video, frame, atMs, playing, shown);
  if (!frame.asset) return null;
  const fading = frame.fadeMs > 0 && atMs < frame.startMs + frame.fadeMs;
  const style = { opacity: shown ? (fading ? Math.max(0, (atMs - frame.startMs) / frame.fadeMs) : 1) : 0 };
  if (frame.makes === "video")
    return <video ref={video} src={contentUrl(frame.asset)} preload="auto" playsInline muted={muted} style={style} />;
  return <img src={contentUrl(frame.asset)} alt="" style={style} />;
}

function Sound({ frame, atMs, playing, muted }: { frame: Frame; atMs: number; playing: boolean; muted: boolean }) {
  const audio = useRef<HTMLAudioElement>(null);
  const { contentUrl } = useMedia();
  useFollow(audio, frame, atMs, playing, atMs >= frame.startMs);
  return frame.asset ? <audio ref={audio} src={contentUrl(frame.asset)} preload="auto" muted={muted} /> : null;
}

/** A frame of the film as a small picture. */
export function FramePicture({ frame }: { frame: Frame }) {
  const [failed, setFailed] = useState(false);
  const { previewUrl } = useMedia();
  if (!frame.asset || failed)
    return (
      <span className={css.noPicture}>
        <Icon name={frame.node ? "clock" : "warn"} />
        {!frame.node ? "Deleted" : failed ? "Its picture was deleted" : "No take yet"}
      </span>
    );
  return (
    <img
      src={previewUrl(frame.asset)}
      alt=""
      loading="lazy"
      decoding="async"
      draggable={false}
      onError={() => setFailed(true)}
    />
  );
}
