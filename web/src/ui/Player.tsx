import { useEffect, useRef, useState } from "react";
import { useShortcuts } from "../app/shortcuts";
import { Icon } from "./Icon";
import css from "./Player.module.css";

const STEP_S = 5;
const LEAP_S = 10;
const FRAMES_PER_S = 24;
const VOLUME_STEP = 0.1;
const SPEEDS = [0.25, 0.5, 1, 1.5, 2] as const;
const IDLE_MS = 2_400;

/**
 * A film with its controls: space or k plays, ← → 5 s, j l 10 s, comma and full stop a frame, 0 to 9 a tenth,
 * ↑ ↓ the sound, m mutes, f fills the screen, < and > the speed.
 */
export function Player({
  src,
  poster,
  label,
  fps = FRAMES_PER_S,
  start = false,
  loop = false,
}: {
  src: string;
  poster?: string | null;
  label: string;
  fps?: number;
  /** Plays by itself, without sound, unless the person prefers stillness. */
  start?: boolean;
  loop?: boolean;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [playing, setPlaying] = useState(false);
  const [at_s, setAt] = useState(0);
  const [length_s, setLength] = useState(0);
  const [muted, setMuted] = useState(start);
  const [volume, setVolume] = useState(1);
  const [speed, setSpeed] = useState(1);
  const [fault, setFault] = useState(false);
  const idle = useIdle(frame, playing);
  usePlayhead(video, playing, setAt);

  const withVideo = (act: (element: HTMLVideoElement) => void) => () => {
    if (video.current) act(video.current);
  };
  const toggle = withVideo((v) => (v.paused ? void v.play().catch(() => undefined) : v.pause()));
  const seek = (to_s: number) =>
    withVideo((v) => {
      v.currentTime = Math.min(v.duration || 0, Math.max(0, to_s));
      setAt(v.currentTime);
    })();
  const by = (delta_s: number) => withVideo((v) => seek(v.currentTime + delta_s));
  const louder = (by: number) =>
    withVideo((v) => {
      v.volume = Math.min(1, Math.max(0, v.volume + by));
      v.muted = v.volume === 0;
    });
  const faster = (by: 1 | -1) => () => {
    const next = SPEEDS[SPEEDS.indexOf(speed as (typeof SPEEDS)[number]) + by];
    if (next !== undefined) setSpeed(next);
  };
  const mute = withVideo((v) => void (v.muted = !v.muted));
  const fill = () =>
    void (document.fullscreenElement ? document.exitFullscreen() : frame.current?.requestFullscreen?.())?.catch(
      () => undefined,
    );
  useEffect(
    withVideo((v) => void (v.playbackRate = speed)),
    [speed],
  );
  useEffect(() => {
    if (start && !matchMedia("(prefers-reduced-motion: reduce)").matches) void video.current?.play().catch(() => {});
  }, [src, start]);

  useShortcuts({
    " ": toggle,
    k: toggle,
    ArrowLeft: by(-STEP_S),
    ArrowRight: by(STEP_S),
    j: by(-LEAP_S),
    l: by(LEAP_S),
    ",": withVideo((v) => (v.pause(), seek(v.currentTime - 1 / fps))),
    ".": withVideo((v) => (v.pause(), seek(v.currentTime + 1 / fps))),
    ArrowUp: louder(VOLUME_STEP),
    ArrowDown: louder(-VOLUME_STEP),
    m: mute,
    f: fill,
    "<": faster(-1),
    ">": faster(1),
    Home: () => seek(0),
    End: () => seek(length_s),
    ...Object.fromEntries(
      Array.from({ length: 10 }, (_, tenth) => [String(tenth), () => seek((length_s * tenth) / 10)]),
    ),
  });

  return (
    <div ref={frame} className={css.player} data-idle={idle || undefined} role="group" aria-label={`Film: ${label}`}>
      <video
        ref={video}
        src={src}
        poster={poster ?? undefined}
        loop={loop}
        muted={start}
        playsInline
        preload="metadata"
        aria-label={label}
        data-testid="film"
        onClick={toggle}
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onSeeked={withVideo((v) => setAt(v.currentTime))}
        onLoadedMetadata={withVideo((v) => {
          setLength(Number.isFinite(v.duration) ? v.duration : 0);
          v.playbackRate = speed;
        })}
        onVolumeChange={withVideo((v) => {
          setMuted(v.muted);
          setVolume(v.volume);
        })}
        onError={() => setFault(true)}
      />
      {fault && (
        <div className={css.fault}>
          <p role="alert">
            <Icon name="warn" /> This film cannot be played here. Its file may have been removed.
          </p>
          <button
            type="button"
            onClick={withVideo((v) => {
              setFault(false);
              v.load();
            })}
          >
            Try again
          </button>
        </div>
      )}
      {!playing && !fault && at_s === 0 && (
        <button type="button" className={css.big} onClick={toggle} tabIndex={-1} aria-hidden="true">
          <Icon name="play" size={32} />
        </button>
      )}
      <div className={css.controls} hidden={fault}>
        <button type="button" onClick={toggle} aria-label={playing ? "Pause" : "Play"}>
          <Icon name={playing ? "pause" : "play"} size={18} />
        </button>
        <input
          type="range"
          className={css.scrub}
          min={0}
          max={length_s || 1}
          step={0.01}
          value={Math.min(at_s, length_s || 1)}
          style={{ "--at": `${length_s ? (100 * at_s) / length_s : 0}%` } as React.CSSProperties}
          aria-label="Where in the film"
          aria-valuetext={`${clockOf(at_s)} of ${clockOf(length_s)}`}
          onChange={(event) => seek(Number(event.target.value))}
        />
        <span className={css.time} aria-hidden="true">
          {clockOf(at_s)} <i>/ {clockOf(length_s)}</i>
        </span>
        <button
          type="button"
          onClick={() => setSpeed(SPEEDS[(SPEEDS.indexOf(speed as 1) + 1) % SPEEDS.length] ?? 1)}
          aria-label={`Speed ${speed} times`}
        >
          {speed}×
        </button>
        <button type="button" onClick={mute} aria-label={muted ? "Sound on" : "Mute"}>
          <Icon name={muted || volume === 0 ? "mute" : "sound"} size={18} />
        </button>
        <button type="button" onClick={fill} aria-label="Fill the screen">
          <Icon name="fill" size={18} />
        </button>
      </div>
    </div>
  );
}

/** The playhead moves with the frames, not with the few events that the browser sends. */
function usePlayhead(video: React.RefObject<HTMLVideoElement | null>, playing: boolean, show: (at_s: number) => void) {
  useEffect(() => {
    if (!playing) return;
    let next = 0;
    const tick = () => {
      if (video.current) show(video.current.currentTime);
      next = requestAnimationFrame(tick);
    };
    tick();
    return () => cancelAnimationFrame(next);
  }, [playing, video, show]);
}

/** Whether the pointer has rested long enough, while it plays, for the controls to leave the picture alone. */
function useIdle(frame: React.RefObject<HTMLElement | null>, playing: boolean): boolean {
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    const element = frame.current;
    if (!element || !playing) {
      setIdle(false);
      return;
    }
    let timer = setTimeout(() => setIdle(true), IDLE_MS);
    const wake = () => {
      setIdle(false);
      clearTimeout(timer);
      timer = setTimeout(() => setIdle(true), IDLE_MS);
    };
    const stop = new AbortController();
    for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      element.addEventListener(kind, wake, { signal: stop.signal });
    }
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [frame, playing]);
  return idle;
}

/** "0:07", "12:03" */
function clockOf(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
