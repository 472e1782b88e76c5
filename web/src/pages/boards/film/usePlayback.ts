import { useCallback, useEffect, useRef, useState } from "react";

export interface Playback {
  atMs: number;
  playing: boolean;
  toggle: () => void;
  pause: () => void;
  seek: (ms: number) => void;
}

/** The film's own clock: clips, stills and sounds follow it, so that a clip that loads slowly does not stop the rest. */
export function usePlayback(lengthMs: number): Playback {
  const [atMs, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const at = useRef(0);
  const length = useRef(lengthMs);
  length.current = lengthMs;
  const seek = useCallback((ms: number) => {
    at.current = Math.min(Math.max(0, ms), length.current);
    setAt(at.current);
  }, []);
  useEffect(() => {
    // The film became shorter than where one stands.
    if (at.current > lengthMs) seek(lengthMs);
  }, [lengthMs, seek]);
  useEffect(() => {
    if (!playing) return;
    let before = performance.now();
    let frame = requestAnimationFrame(function tick(now) {
      seek(at.current + now - before);
      before = now;
      if (at.current >= length.current) setPlaying(false);
      else frame = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing, seek]);
  const toggle = useCallback(() => {
    setPlaying((was) => {
      if (!was && at.current >= length.current) seek(0);
      return !was && length.current > 0;
    });
  }, [seek]);
  const pause = useCallback(() => setPlaying(false), []);
  return { atMs, playing, toggle, pause, seek };
}
