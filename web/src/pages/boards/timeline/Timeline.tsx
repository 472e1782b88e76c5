import { useRef, useState } from "react";
import { Slider } from "../../../ui";
import { useOpen, useSelected } from "../context";
import { FADE_MS, filmClock, trimmed } from "../doc/film";
import { FramePicture, Player } from "../film/Player";
import { useFilm, useTrack, type Film, type Frame } from "../film/useFilm";
import { usePlayback, type Playback } from "../film/usePlayback";
import { useBoardKeys } from "../useBoardKeys";
import css from "./timeline.module.css";

const PX_PER_S_MIN = 8;
const PX_PER_S_MAX = 240;
const PX_PER_S = 64;
const PAD_PX = 24;

/** The film against time: play it, trim a clip by its edges, drag it to another place, fade into it. */
export default function Timeline() {
  const film = useFilm();
  const sound = useTrack("audio");
  const play = usePlayback(Math.max(film.ms, sound.ms));
  const [scale, setScale] = useState(PX_PER_S);
  const { board, canEdit } = useOpen();
  const { selected } = useSelected();
  useBoardKeys(
    canEdit
      ? {
          "mod+z": () => board.undo.undo(),
          "mod+shift+z": () => board.undo.redo(),
          "mod+y": () => board.undo.redo(),
          Delete: () => {
            const clip = board.tracks.flatMap((track) => track.clips).find((one) => selected.includes(one.node));
            if (!clip) return;
            board.step();
            board.removeClip(clip.id);
          },
        }
      : {},
  );
  return (
    <div className={css.page} role="region" aria-label="Timeline">
      <Player film={film} sound={sound} play={play} />
      <div className={css.tracks}>
        <div className={css.head}>
          <span>{film.frames.length > 0 && "Drag a clip to move it, its edges to trim it"}</span>
          <label>
            <span>Scale</span>
            <Slider
              min={PX_PER_S_MIN}
              max={PX_PER_S_MAX}
              value={scale}
              onChange={(event) => setScale(Number(event.target.value))}
            />
          </label>
        </div>
        <Tracks film={film} sound={sound} play={play} scale={scale} />
      </div>
    </div>
  );
}

function Tracks({ film, sound, play, scale }: { film: Film; sound: Film; play: Playback; scale: number }) {
  const ms = Math.max(film.ms, sound.ms, 1_000);
  const width = (ms / 1_000) * scale + PAD_PX * 2;
  const ruler = useRef<HTMLDivElement>(null);
  const seekTo = (event: React.PointerEvent) => {
    const box = ruler.current?.getBoundingClientRect();
    if (box) play.seek(((event.clientX - box.left) / scale) * 1_000);
  };
  return (
    <div className={css.scroll} tabIndex={0} role="group" aria-label="Tracks">
      <div className={css.inner} style={{ width }}>
        <div
          ref={ruler}
          className={css.ruler}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            play.pause();
            seekTo(event);
          }}
          onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && seekTo(event)}
        >
          {ticks(ms, scale).map((at) => (
            <span key={at} style={{ left: (at / 1_000) * scale }}>
              {filmClock(at).replace(/\.0$/, "")}
            </span>
          ))}
        </div>
        <Track film={film} scale={scale} name="Pictures" />
        {sound.frames.length > 0 && <Track film={sound} scale={scale} name="Sound" />}
        <i className={css.head2} style={{ left: PAD_PX + (play.atMs / 1_000) * scale }} aria-hidden="true" />
      </div>
    </div>
  );
}

const TICK_PX_MIN = 64;
const TICKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300];

function ticks(ms: number, scale: number): number[] {
  const every = (TICKS_S.find((step) => step * scale >= TICK_PX_MIN) ?? 600) * 1_000;
  return Array.from({ length: Math.floor(ms / every) + 1 }, (_, index) => index * every);
}

function Track({ film, scale, name }: { film: Film; scale: number; name: string }) {
  const [moving, setMoving] = useState<{ id: string; dx: number } | null>(null);
  return (
    <ol className={css.track} aria-label={name}>
      {film.frames.map((frame, index) => (
        <Strip
          key={frame.clip.id}
          frame={frame}
          index={index}
          frames={film.frames}
          scale={scale}
          dx={moving?.id === frame.clip.id ? moving.dx : 0}
          onMove={setMoving}
        />
      ))}
    </ol>
  );
}

interface Pull {
  edge: "in" | "out" | "body";
  x: number;
  inMs: number;
  outMs: number;
  moved: boolean;
}
const DRAG_PX = 4;
const KEY_MS = 100;

function Strip({
  frame,
  index,
  frames,
  scale,
  dx,
  onMove,
}: {
  frame: Frame;
  index: number;
  frames: readonly Frame[];
  scale: number;
  dx: number;
  onMove: (moving: { id: string; dx: number } | null) => void;
}) {
  const { board, canEdit, select } = useOpen();
  const { selected } = useSelected();
  const pull = useRef<Pull | null>(null);
  const { clip } = frame;
  const length = frame.endMs - frame.startMs;
  const outMs = clip.outMs ?? clip.inMs + length;
  const fades = clip.transition === "cross_fade";
  const trim = (inMs: number, out: number) => board.updateClip(clip.id, trimmed(inMs, out, frame.sourceMs));

  const begin = (event: React.PointerEvent, edge: Pull["edge"]) => {
    if (!canEdit || event.button !== 0) return;
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
    board.step();
    pull.current = { edge, x: event.clientX, inMs: clip.inMs, outMs, moved: false };
  };
  const drag = (event: React.PointerEvent) => {
    const from = pull.current;
    if (!from) return;
    const px = event.clientX - from.x;
    from.moved ||= Math.abs(px) > DRAG_PX;
    const by = (px / scale) * 1_000;
    // The front of a still is its end as well: it only stands longer or shorter.
    if (from.edge === "in" && frame.sourceMs === null) trim(0, from.outMs - by);
    else if (from.edge === "in") trim(Math.min(from.inMs + by, from.outMs - KEY_MS * 2), from.outMs);
    else if (from.edge === "out") trim(from.inMs, from.outMs + by);
    else if (from.moved) onMove({ id: clip.id, dx: px });
  };
  const end = (event: React.PointerEvent) => {
    const from = pull.current;
    pull.current = null;
    if (!from) return;
    onMove(null);
    if (from.edge !== "body") return;
    if (!from.moved) return select([clip.node]);
    const middle = (frame.startMs + frame.endMs) / 2 + ((event.clientX - from.x) / scale) * 1_000;
    const others = frames.filter((one) => one.clip.id !== clip.id);
    board.moveClip(clip.id, others.filter((one) => (one.startMs + one.endMs) / 2 < middle).length);
  };
  const byKey = (event: React.KeyboardEvent) => {
    if (!canEdit) return;
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0 || !(event.altKey || event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
    board.step();
    if (event.altKey) board.moveClip(clip.id, Math.min(frames.length - 1, Math.max(0, index + step)));
    else trim(clip.inMs, outMs + step * KEY_MS);
  };
  return (
    <li
      className={css.strip}
      style={{
        left: (frame.startMs / 1_000) * scale,
        width: (length / 1_000) * scale,
        transform: dx ? `translateX(${dx}px)` : undefined,
      }}
      data-moving={dx !== 0 || undefined}
      data-selected={selected.includes(clip.node) || undefined}
    >
      <button
        type="button"
        className={css.body}
        aria-label={`Clip ${index + 1}: ${frame.title}, from ${filmClock(frame.startMs)}, ${filmClock(length)} long`}
        onPointerDown={(event) => begin(event, "body")}
        onPointerMove={drag}
        onPointerUp={end}
        onPointerCancel={end}
        onClick={() => select([clip.node])}
        onKeyDown={byKey}
      >
        <span className={css.picture}>
          <FramePicture frame={frame} />
        </span>
        <span className={css.name}>{frame.title}</span>
      </button>
      {canEdit && (
        <>
          {(["in", "out"] as const).map((edge) => (
            <span
              key={edge}
              className={css.edge}
              data-edge={edge}
              onPointerDown={(event) => begin(event, edge)}
              onPointerMove={drag}
              onPointerUp={end}
              onPointerCancel={end}
            />
          ))}
        </>
      )}
      {index > 0 && (
        <button
          type="button"
          className={css.fade}
          aria-pressed={fades}
          aria-label={`Fade into clip ${index + 1}`}
          disabled={!canEdit}
          onClick={() => {
            board.step();
            board.updateClip(
              clip.id,
              fades ? { transition: "cut", transitionMs: 0 } : { transition: "cross_fade", transitionMs: FADE_MS },
            );
          }}
        >
          {fades ? "×" : "|"}
        </button>
      )}
      {frame.fadeMs > 0 && (
        <i className={css.overlap} style={{ width: (frame.fadeMs / 1_000) * scale }} aria-hidden="true" />
      )}
    </li>
  );
}
