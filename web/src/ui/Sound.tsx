import { useEffect, useRef, useState } from "react";
import { Icon } from "./Icon";
import css from "./Sound.module.css";

const BARS = 160;
/** A longer file is played without being drawn: decoding it would hold the page up. */
const DRAWN_BYTES_MAX = 25_000_000;

/** A sound with its shape: a press on it goes there. Space on the button, arrows on the slider. */
export function Sound({ src, label, size_bytes }: { src: string; label: string; size_bytes: number }) {
  const audio = useRef<HTMLAudioElement>(null);
  const [playing, setPlaying] = useState(false);
  const [at_s, setAt] = useState(0);
  const [length_s, setLength] = useState(0);
  const peaks = usePeaks(size_bytes <= DRAWN_BYTES_MAX ? src : null);
  const part = length_s ? at_s / length_s : 0;
  const toggle = () => {
    const element = audio.current;
    if (element) void (element.paused ? element.play().catch(() => undefined) : element.pause());
  };
  return (
    <div className={css.sound} role="group" aria-label={`Sound: ${label}`}>
      <audio
        ref={audio}
        src={src}
        preload="metadata"
        data-testid="sound"
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onTimeUpdate={(event) => setAt(event.currentTarget.currentTime)}
        onLoadedMetadata={(event) =>
          setLength(Number.isFinite(event.currentTarget.duration) ? event.currentTarget.duration : 0)
        }
      />
      <button type="button" className={css.play} onClick={toggle} aria-label={playing ? "Pause" : "Play"}>
        <Icon name={playing ? "pause" : "play"} size={24} />
      </button>
      <div className={css.shape}>
        <svg viewBox={`0 0 ${BARS} 100`} preserveAspectRatio="none" aria-hidden="true">
          {(peaks ?? Array.from({ length: BARS }, () => 0.02)).map((peak, index) => (
            <rect
              key={index}
              x={index + 0.15}
              width={0.7}
              y={50 - 48 * peak}
              height={Math.max(1.5, 96 * peak)}
              data-played={index / BARS < part || undefined}
            />
          ))}
        </svg>
        <input
          type="range"
          min={0}
          max={length_s || 1}
          step={0.01}
          value={at_s}
          aria-label="Where in the sound"
          aria-valuetext={`${clockOf(at_s)} of ${clockOf(length_s)}`}
          onChange={(event) => {
            if (audio.current) audio.current.currentTime = Number(event.target.value);
            setAt(Number(event.target.value));
          }}
        />
      </div>
      <span className={css.time}>
        {clockOf(at_s)} / {clockOf(length_s)}
      </span>
    </div>
  );
}

/** The loudest moment of each of so many equal parts, 0 to 1; null while or where it is not known. */
function usePeaks(src: string | null): number[] | null {
  const [peaks, setPeaks] = useState<number[] | null>(null);
  useEffect(() => {
    setPeaks(null);
    if (!src) return;
    const stop = new AbortController();
    void decode(src, stop.signal).then(setPeaks, () => undefined);
    return () => stop.abort();
  }, [src]);
  return peaks;
}

async function decode(src: string, signal: AbortSignal): Promise<number[]> {
  const response = await fetch(src, { signal, credentials: "same-origin" });
  const context = new OfflineAudioContext(1, 1, 44_100);
  const samples = (await context.decodeAudioData(await response.arrayBuffer())).getChannelData(0);
  signal.throwIfAborted();
  const step = Math.max(1, Math.floor(samples.length / BARS));
  const peaks = Array.from({ length: BARS }, (_, bar) => {
    let peak = 0;
    for (let at = bar * step; at < Math.min(samples.length, (bar + 1) * step); at += 1) {
      peak = Math.max(peak, Math.abs(samples[at] ?? 0));
    }
    return peak;
  });
  const most = Math.max(...peaks, 0.01);
  return peaks.map((peak) => peak / most);
}

function clockOf(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
