import { useEffect, useRef } from "react";
import type { Asset, Run } from "../../api/types";
import { isAudio, isImage, isVideo, previewUrl, ratioOf } from "../../lib/media";
import { isOver, progressOf, stateWord } from "../../lib/phases";
import { takeLabel } from "../../lib/schema";
import { humanise } from "../../lib/format";
import { Icon } from "../../ui";
import css from "./Takes.module.css";

/** The strip under the stage: the photograph, then every take that was made of it, newest first. */
export function Takes({
  source,
  takes,
  selected,
  against,
  onSelect,
  onAgainst,
}: {
  source: Asset | undefined;
  takes: Run[];
  selected: string | null;
  against: string | null;
  onSelect: (runId: string | null) => void;
  onAgainst: (runId: string) => void;
}) {
  const strip = useRef<HTMLUListElement>(null);
  useEffect(() => {
    strip.current?.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected, takes.length]);
  if (!source && takes.length === 0) return null;
  return (
    <nav className={css.strip} aria-label="Takes">
      <ul ref={strip}>
        {source && (
          <li>
            <button type="button" className={css.take} aria-current={selected === null} onClick={() => onSelect(null)}>
              <span className={css.thumb} style={{ aspectRatio: String(ratioOf(source)) }}>
                <Preview asset={source} />
              </span>
              <span className={css.text}>
                <b>{isImage(source) ? "Photograph" : isVideo(source) ? "Clip" : "Sound"}</b>
                <small>{source.name}</small>
              </span>
            </button>
          </li>
        )}
        {takes.map((run, index) => {
          const number = takes.length - index;
          const output = run.outputs[0];
          return (
            <li key={run.id}>
              <button
                type="button"
                className={css.take}
                aria-current={run.id === selected}
                data-against={run.id === against || undefined}
                aria-label={`Take ${number}: ${humanise(run.tool)}, ${takeLabel(run.input)}, ${stateWord(run.state)}`}
                onClick={(event) =>
                  event.shiftKey && selected && run.id !== selected ? onAgainst(run.id) : onSelect(run.id)
                }
              >
                <span className={css.thumb} style={{ aspectRatio: String(output ? ratioOf(output) : 1) }}>
                  {output ? <Preview asset={output} /> : <Icon name={isOver(run) ? "warn" : "clock"} />}
                  {output && isVideo(output) && (
                    <i>
                      <Icon name="play" size={12} />
                    </i>
                  )}
                </span>
                <span className={css.text}>
                  <b>Take {number}</b>
                  <small>
                    {isOver(run)
                      ? run.state === "succeeded"
                        ? takeLabel(run.input)
                        : stateWord(run.state)
                      : progressOf(run).word}
                  </small>
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      {takes.length > 1 && <p className={css.hint}>⇧ click compares two takes</p>}
    </nav>
  );
}

function Preview({ asset }: { asset: Pick<Asset, "id" | "content_type"> }) {
  if (isImage(asset) || isVideo(asset)) return <img src={previewUrl(asset.id)} alt="" loading="lazy" />;
  return <Icon name={isAudio(asset) ? "sound" : "check"} />;
}
