import { useState } from "react";
import type { Take } from "../../../api/boards";
import { ago, credits, creditWord } from "../../../lib/format";
import { Button, Dialog, Icon, useNow } from "../../../ui";
import { Compare } from "../../../ui/Compare";
import { useMedia, useOpen } from "../context";
import type { NodeFacts } from "../doc/facts";
import type { Media } from "../doc/ports";
import type { BoardNode } from "../doc/types";
import css from "./panel.module.css";

const NOW_MS = 30_000;

/** Every take of a tool, newest first: look, choose, hold two against each other. Takes are never overwritten. */
export function TakesStrip({ node, facts }: { node: BoardNode; facts: NodeFacts }) {
  const { board, canEdit } = useOpen();
  const [looked, setLooked] = useState<string | null>(null);
  const [against, setAgainst] = useState<string | null>(null);
  const now = useNow(NOW_MS);
  const { previewUrl } = useMedia();
  const good = facts.takes.filter((take) => take.asset !== null);
  const shown = good.find((take) => take.id === looked) ?? facts.shown;
  if (!shown?.asset) return null;
  const numberOf = (take: Take) => good.length - good.indexOf(take);
  const other = good.find((take) => take.id === against) ?? good[good.indexOf(shown) + 1] ?? good[0];
  const chosen = shown.id === facts.shown?.id;
  return (
    <section aria-label="Takes" className={css.takes}>
      <div className={css.large}>
        <Shown asset={shown.asset} makes={facts.makes} />
      </div>
      <div className={css.takeFacts}>
        <p>
          <b>Take {numberOf(shown)}</b> · {ago(shown.created_at, now)} · {credits(shown.cost_micro)}{" "}
          {creditWord(shown.cost_micro)}
          {shown.seed != null && ` · seed ${shown.seed}`}
          {shown.stale && " · made of something older"}
        </p>
        <div className={css.acts}>
          {canEdit && (
            <Button
              icon="check"
              because={chosen ? "This take is what the board uses" : null}
              onClick={() => {
                board.step();
                board.chooseTake(node.id, shown.id);
              }}
            >
              {chosen ? "Chosen" : "Choose this take"}
            </Button>
          )}
          {good.length > 1 && other && (
            <Button icon="compare" onClick={() => setAgainst(other.id === shown.id ? null : other.id)}>
              Compare
            </Button>
          )}
        </div>
      </div>
      {good.length > 1 && (
        <ul className={css.strip}>
          {good.map((take) => (
            <li key={take.id}>
              <button
                type="button"
                className={css.thumb}
                aria-current={take.id === shown.id}
                aria-label={`Take ${numberOf(take)}${take.id === facts.shown?.id ? ", chosen" : ""}`}
                onClick={() => setLooked(take.id)}
              >
                {take.asset && <img src={previewUrl(take.asset)} alt="" loading="lazy" />}
                <span>
                  {take.id === facts.shown?.id && <Icon name="check" size={12} />}
                  {numberOf(take)}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {against && other?.asset && (
        <Dialog
          open
          wide
          onClose={() => setAgainst(null)}
          title={`Take ${numberOf(other)} and take ${numberOf(shown)}`}
        >
          <div className={css.compare}>
            <Compare
              before={<Layer asset={other.asset} makes={facts.makes} />}
              after={<Layer asset={shown.asset} makes={facts.makes} />}
              beforeLabel={`Take ${numberOf(other)}`}
              afterLabel={`Take ${numberOf(shown)}`}
            />
          </div>
          <div className={css.compareFoot}>
            {good.length > 2 && (
              <label>
                Against{" "}
                <select value={other.id} className={css.feeder} onChange={(event) => setAgainst(event.target.value)}>
                  {good
                    .filter((take) => take.id !== shown.id)
                    .map((take) => (
                      <option key={take.id} value={take.id}>
                        Take {numberOf(take)}
                      </option>
                    ))}
                </select>
              </label>
            )}
            {canEdit &&
              [other, shown].map((take) => (
                <Button
                  key={take.id}
                  because={take.id === facts.shown?.id ? "This take is what the board uses" : null}
                  onClick={() => {
                    board.step();
                    board.chooseTake(node.id, take.id);
                    setAgainst(null);
                    setLooked(take.id);
                  }}
                >
                  Choose take {numberOf(take)}
                </Button>
              ))}
          </div>
        </Dialog>
      )}
    </section>
  );
}

function Shown({ asset, makes }: { asset: string; makes: Media | null }) {
  const { contentUrl } = useMedia();
  if (makes === "video") return <video key={asset} src={contentUrl(asset)} controls playsInline preload="metadata" />;
  if (makes === "audio") return <audio src={contentUrl(asset)} controls preload="none" />;
  return <img src={contentUrl(asset)} alt="" />;
}

/** In a comparison both move together, muted, without controls. */
function Layer({ asset, makes }: { asset: string; makes: Media | null }) {
  const { contentUrl } = useMedia();
  if (makes === "video") return <video className={css.layer} src={contentUrl(asset)} muted autoPlay loop playsInline />;
  return <img className={css.layer} src={contentUrl(asset)} alt="" draggable={false} />;
}
