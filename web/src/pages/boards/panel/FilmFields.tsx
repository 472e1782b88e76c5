import { Button, TextField } from "../../../ui";
import { useOpen, useTracks } from "../context";
import { FADE_MS, filmClock, STILL_MS, trimmed } from "../doc/film";
import type { Media } from "../doc/ports";
import type { BoardNode } from "../doc/types";
import { useTrack, type Frame } from "../film/useFilm";
import css from "./panel.module.css";

/** A node's place in the film: add it, trim it, fade into it, take it out. */
export function FilmFields({ node, makes }: { node: BoardNode; makes: Media | null }) {
  const { board, canEdit } = useOpen();
  const track = makes === "audio" ? "audio" : "video";
  const film = useTrack(track);
  useTracks();
  const frames = film.frames.filter((frame) => frame.clip.node === node.id);
  if (frames.length === 0) {
    if (!canEdit || !makes) return null;
    return (
      <div className={css.acts}>
        <Button
          icon="film"
          onClick={() => {
            board.step();
            addToFilm(board, node, makes);
          }}
        >
          {makes === "audio" ? "Add as sound" : "Add to the film"}
        </Button>
      </div>
    );
  }
  return (
    <section className={css.film} aria-label="In the film">
      {frames.map((frame) => (
        <ClipFields key={frame.clip.id} frame={frame} index={film.frames.indexOf(frame)} count={film.frames.length} />
      ))}
    </section>
  );
}

/** A still stands three seconds; a clip and a sound for as long as they are. */
export function addToFilm(
  board: ReturnType<typeof useOpen>["board"],
  node: BoardNode,
  makes: Media | null,
  index?: number,
): string {
  return board.addClip(node.id, {
    inMs: 0,
    outMs: makes === "image" ? STILL_MS : null,
    track: makes === "audio" ? "audio" : "video",
    ...(index === undefined ? {} : { index }),
  });
}

const STEP_S = 0.1;

export function ClipFields({ frame, index, count }: { frame: Frame; index: number; count: number }) {
  const { board, canEdit } = useOpen();
  const { clip, sourceMs } = frame;
  const out = clip.outMs ?? clip.inMs + (frame.endMs - frame.startMs);
  const trim = (inMs: number, outMs: number) => board.updateClip(clip.id, trimmed(inMs, outMs, sourceMs));
  const fades = clip.transition === "cross_fade";
  return (
    <fieldset className={css.clip} disabled={!canEdit}>
      <legend>
        Number {index + 1} of {count} · {filmClock(frame.startMs)} to {filmClock(frame.endMs)}
      </legend>
      <div className={css.two}>
        {sourceMs !== null && (
          <TextField
            label="From (s)"
            type="number"
            min={0}
            max={sourceMs / 1_000}
            step={STEP_S}
            value={clip.inMs / 1_000}
            onChange={(event) => trim(Number(event.target.value) * 1_000, out)}
          />
        )}
        <TextField
          label={sourceMs === null ? "Stands for (s)" : "To (s)"}
          type="number"
          min={0}
          max={sourceMs === null ? undefined : sourceMs / 1_000}
          step={STEP_S}
          value={out / 1_000}
          onChange={(event) => trim(clip.inMs, Number(event.target.value) * 1_000)}
        />
      </div>
      {index > 0 && (
        <label className={css.check}>
          <input
            type="checkbox"
            checked={fades}
            onChange={(event) =>
              board.updateClip(
                clip.id,
                event.target.checked
                  ? { transition: "cross_fade", transitionMs: FADE_MS }
                  : { transition: "cut", transitionMs: 0 },
              )
            }
          />
          Fade from the one before
          {fades && (
            <input
              type="number"
              aria-label="Milliseconds of fade"
              min={100}
              max={5_000}
              step={100}
              value={clip.transitionMs}
              onChange={(event) => board.updateClip(clip.id, { transitionMs: Number(event.target.value) })}
            />
          )}
          {fades && "ms"}
        </label>
      )}
      {canEdit && (
        <Button
          look="quiet"
          icon="close"
          onClick={() => {
            board.step();
            board.removeClip(clip.id);
          }}
        >
          Take out of the film
        </Button>
      )}
    </fieldset>
  );
}
