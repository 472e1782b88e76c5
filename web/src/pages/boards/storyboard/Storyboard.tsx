import { useRef, useState } from "react";
import { Button, Dialog, Icon } from "../../../ui";
import { DropAnywhere } from "../../studio/DropAnywhere";
import { useFacts, useMedia, useOpen, useSelected } from "../context";
import { FADE_MS, filmClock } from "../doc/film";
import { SIZES, type BoardNode } from "../doc/types";
import { Player, FramePicture } from "../film/Player";
import { useFilm, useOffFilm, useTrack, type Frame } from "../film/useFilm";
import { usePlayback } from "../film/usePlayback";
import { addToFilm } from "../panel/FilmFields";
import { useBoardKeys } from "../useBoardKeys";
import { nodeTitle } from "../words";
import css from "./storyboard.module.css";

/** What is dragged: a clip of the film, or a node that is not in it yet. */
type Dragged = { clip: string } | { node: string };

/** The film as a row of pictures, and below it what could still go in. */
export default function Storyboard() {
  const { board, bring, canEdit, select } = useOpen();
  const { arriving, selected } = useSelected();
  const film = useFilm();
  const sound = useTrack("audio");
  const off = useOffFilm();
  const [dragged, setDragged] = useState<Dragged | null>(null);
  const [gap, setGap] = useState<number | null>(null);
  const [playing, setPlaying] = useState(false);
  const file = useRef<HTMLInputElement>(null);
  useHistoryKeys();

  const dropAt = (index: number) => {
    if (dragged && "clip" in dragged) {
      const from = film.frames.findIndex((frame) => frame.clip.id === dragged.clip);
      board.step();
      board.moveClip(dragged.clip, from < index ? index - 1 : index);
    } else if (dragged) put(dragged.node, index);
    setDragged(null);
    setGap(null);
  };
  const put = (id: string, index?: number) => {
    const node = board.node(id);
    if (!node) return;
    board.step();
    addToFilm(board, node, makesOf(node), index);
  };
  const { facts } = useOpen();
  const makesOf = (node: BoardNode) => facts.of(node.id).makes;
  const bringFiles = (files: FileList | null) => {
    if (canEdit && files) bring([...files], freePlace(board.nodes));
  };
  return (
    <DropAnywhere onFiles={bringFiles}>
      <div className={css.page} role="region" aria-label="Storyboard">
        <div className={css.head}>
          <p>
            {film.frames.length === 0
              ? "No shot yet"
              : `${film.frames.length} ${film.frames.length === 1 ? "shot" : "shots"} · ${filmClock(film.ms)}`}
          </p>
          <div className={css.acts}>
            {canEdit && (
              <Button icon="upload" onClick={() => file.current?.click()}>
                Bring photographs
              </Button>
            )}
            <Button
              icon="play"
              because={film.frames.length === 0 ? "Nothing is in the film yet" : null}
              onClick={() => setPlaying(true)}
            >
              Play
            </Button>
          </div>
          <input
            ref={file}
            type="file"
            hidden
            multiple
            accept="image/*,video/*"
            onChange={(event) => {
              bringFiles(event.target.files);
              event.target.value = "";
            }}
          />
        </div>
        {film.frames.length === 0 && (
          <div
            className={css.empty}
            data-over={gap === 0 || undefined}
            onDragOver={(event) => {
              event.preventDefault();
              setGap(0);
            }}
            onDragLeave={() => setGap(null)}
            onDrop={(event) => {
              event.preventDefault();
              dropAt(0);
            }}
          >
            <h2>The film begins here</h2>
            <p>
              {off.length > 0
                ? "Drag a picture or a take from below, or press its plus. The order here is the order of the film."
                : canEdit
                  ? "Drop photographs anywhere. Each becomes a shot that you can put in order, trim and fade."
                  : "Whoever may edit has not put anything in the film yet."}
            </p>
          </div>
        )}
        <ol className={css.frames}>
          {film.frames.map((frame, index) => (
            <FrameCard
              key={frame.clip.id}
              frame={frame}
              index={index}
              count={film.frames.length}
              selected={selected.includes(frame.clip.node)}
              mark={gap === index ? "before" : gap === index + 1 && index === film.frames.length - 1 ? "after" : null}
              onSelect={() => select([frame.clip.node])}
              onDrag={() => setDragged({ clip: frame.clip.id })}
              onDragEnd={() => {
                setDragged(null);
                setGap(null);
              }}
              onOver={(half) => dragged && setGap(index + half)}
              onDrop={() => gap !== null && dropAt(gap)}
            />
          ))}
        </ol>
        {arriving.length > 0 && (
          <ul className={css.arriving}>
            {arriving.map((one) => (
              <li key={one.id} role="status">
                {one.fraction < 1 ? `Uploading ${Math.round(one.fraction * 100)} %` : "Looking at it"} · {one.name}
              </li>
            ))}
          </ul>
        )}
        {off.length > 0 && (
          <section className={css.off} aria-label="Not in the film">
            <h2>Not in the film</h2>
            <ul>
              {off.map((node) => (
                <OffCard
                  key={node.id}
                  node={node}
                  onPut={() => put(node.id)}
                  onDrag={() => setDragged({ node: node.id })}
                />
              ))}
            </ul>
          </section>
        )}
        {playing && <Preview film={film} sound={sound} onClose={() => setPlaying(false)} />}
      </div>
    </DropAnywhere>
  );
}

function useHistoryKeys() {
  const { board, canEdit } = useOpen();
  const { selected } = useSelected();
  useBoardKeys(
    canEdit
      ? {
          "mod+z": () => board.undo.undo(),
          "mod+shift+z": () => board.undo.redo(),
          "mod+y": () => board.undo.redo(),
          Delete: () => {
            const clip = board.film?.clips.find((one) => selected.includes(one.node));
            if (!clip) return;
            board.step();
            board.removeClip(clip.id);
          },
        }
      : {},
  );
}

const BESIDE_PX = 64;
/** Below everything, so that what is brought in here covers nothing on the canvas. */
function freePlace(nodes: readonly BoardNode[]): { x: number; y: number } {
  const left = Math.min(0, ...nodes.map((node) => node.x));
  const bottom = nodes.length ? Math.max(...nodes.map((node) => node.y + node.h)) : 0;
  return { x: left + SIZES.image.w / 2, y: bottom + BESIDE_PX + SIZES.image.h / 2 };
}

function FrameCard({
  frame,
  index,
  count,
  selected,
  mark,
  onSelect,
  onDrag,
  onDragEnd,
  onOver,
  onDrop,
}: {
  frame: Frame;
  index: number;
  count: number;
  selected: boolean;
  mark: "before" | "after" | null;
  onSelect: () => void;
  onDrag: () => void;
  onDragEnd: () => void;
  onOver: (half: 0 | 1) => void;
  onDrop: () => void;
}) {
  const { board, canEdit } = useOpen();
  const fades = frame.clip.transition === "cross_fade";
  const move = (to: number) => {
    board.step();
    board.moveClip(frame.clip.id, to);
  };
  return (
    <li
      className={css.frame}
      data-mark={mark ?? undefined}
      data-selected={selected || undefined}
      draggable={canEdit}
      onDragStart={(event) => {
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", frame.title);
        onDrag();
      }}
      onDragEnd={onDragEnd}
      onDragOver={(event) => {
        event.preventDefault();
        const box = event.currentTarget.getBoundingClientRect();
        onOver(event.clientX < box.left + box.width / 2 ? 0 : 1);
      }}
      onDrop={(event) => {
        event.preventDefault();
        onDrop();
      }}
    >
      <button
        type="button"
        className={css.open}
        aria-label={`Shot ${index + 1}: ${frame.title}, ${filmClock(frame.endMs - frame.startMs)}`}
        onClick={onSelect}
        onKeyDown={(event) => {
          if (!canEdit || !event.altKey) return;
          if (event.key === "ArrowLeft" && index > 0) move(index - 1);
          if (event.key === "ArrowRight" && index < count - 1) move(index + 1);
        }}
      >
        <FramePicture frame={frame} />
        <span className={css.number}>{index + 1}</span>
        {frame.facts.stale && <span className={css.stale}>Stale</span>}
      </button>
      <div className={css.foot}>
        <span className={css.name}>{frame.title}</span>
        <span className={css.length}>{filmClock(frame.endMs - frame.startMs)}</span>
      </div>
      {canEdit && (
        <div className={css.tools}>
          <Button
            look="quiet"
            icon="chevron"
            className={css.earlier}
            aria-label={`Move shot ${index + 1} earlier`}
            disabled={index === 0}
            onClick={() => move(index - 1)}
          />
          <Button
            look="quiet"
            icon="chevron"
            aria-label={`Move shot ${index + 1} later`}
            disabled={index === count - 1}
            onClick={() => move(index + 1)}
          />
          {index > 0 && (
            <button
              type="button"
              className={css.fade}
              aria-pressed={fades}
              onClick={() => {
                board.step();
                board.updateClip(
                  frame.clip.id,
                  fades ? { transition: "cut", transitionMs: 0 } : { transition: "cross_fade", transitionMs: FADE_MS },
                );
              }}
            >
              {fades ? "Fade" : "Cut"}
            </button>
          )}
          <Button
            look="quiet"
            icon="close"
            className={css.out}
            aria-label={`Take shot ${index + 1} out of the film`}
            onClick={() => {
              board.step();
              board.removeClip(frame.clip.id);
            }}
          />
        </div>
      )}
    </li>
  );
}

function OffCard({ node, onPut, onDrag }: { node: BoardNode; onPut: () => void; onDrag: () => void }) {
  const { facts: store, canEdit, select } = useOpen();
  const facts = useFacts(node.id);
  const { previewUrl } = useMedia();
  const title = nodeTitle(node, store.tool(node));
  return (
    <li
      className={css.offCard}
      draggable={canEdit}
      onDragStart={(event) => {
        event.dataTransfer.setData("text/plain", title);
        onDrag();
      }}
    >
      <button type="button" className={css.open} aria-label={title} onClick={() => select([node.id])}>
        {facts.asset && <img src={previewUrl(facts.asset)} alt="" loading="lazy" draggable={false} />}
        {facts.makes === "video" && (
          <span className={css.number}>
            <Icon name="play" size={12} />
          </span>
        )}
      </button>
      {canEdit && (
        <Button look="quiet" icon="plus" className={css.put} aria-label={`Put ${title} in the film`} onClick={onPut} />
      )}
    </li>
  );
}

function Preview({
  film,
  sound,
  onClose,
}: {
  film: ReturnType<typeof useFilm>;
  sound: ReturnType<typeof useFilm>;
  onClose: () => void;
}) {
  const play = usePlayback(film.ms);
  return (
    <Dialog open wide onClose={onClose} title="As it would play now">
      <div className={css.preview}>
        <Player film={film} sound={sound} play={play} compact />
      </div>
    </Dialog>
  );
}
