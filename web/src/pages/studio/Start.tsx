import { useInfiniteQuery } from "@tanstack/react-query";
import { assetsQuery } from "../../api/queries";
import { Link } from "react-router";
import type { Tool } from "../../api/types";
import { isImage, previewUrl, ratioOf } from "../../lib/media";
import { needsAsset } from "../../lib/schema";
import { Button, Kbd } from "../../ui";
import css from "./Start.module.css";
import { ToolThumb } from "../../ui/ToolMedia";
import { toolSentence, toolTitle } from "./tools";

const RECENT_MAX = 12;

/** The studio with nothing on the stage: what to do first, what can be done, and what is already here. */
export function Start({
  onChoose,
  onPick,
  tools,
}: {
  onChoose: () => void;
  onPick: (assetId: string) => void;
  tools: Tool[];
}) {
  const assets = useInfiniteQuery(assetsQuery);
  const recent = (assets.data?.pages[0]?.items ?? [])
    .filter((asset) => isImage(asset) && asset.state === "ready")
    .slice(0, RECENT_MAX);
  const first = assets.data !== undefined && recent.length === 0;
  return (
    <div className={css.start}>
      <section className={css.drop} data-first={first || undefined}>
        <h2>Drop a photograph anywhere</h2>
        <p>Or paste one. It goes straight to your own store; nothing runs, and nothing costs, until you say so.</p>
        <Button look="primary" size="large" icon="upload" onClick={onChoose}>
          Choose a photograph <Kbd>u</Kbd>
        </Button>
      </section>
      {recent.length > 0 && (
        <section className={css.recent}>
          <h2>Or go on with one of these</h2>
          <ul>
            {recent.map((asset) => (
              <li key={asset.id} style={{ flexGrow: ratioOf(asset), flexBasis: 120 * ratioOf(asset) }}>
                <button type="button" onClick={() => onPick(asset.id)} title={asset.name}>
                  <img
                    src={previewUrl(asset.id)}
                    alt={asset.name}
                    loading="lazy"
                    style={{ aspectRatio: String(ratioOf(asset)) }}
                  />
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
      {tools.length > 0 && (
        <ul className={css.tools} aria-label="What can be done with it">
          {tools.map((tool) => (
            <li key={tool.name}>
              <Link to={needsAsset(tool.input) ? `/tools/${tool.name}` : `/studio?tool=${tool.name}`}>
                <span className={css.picture}>
                  <ToolThumb tool={tool} />
                </span>
                <h3>{toolTitle(tool)}</h3>
                <p>{toolSentence(tool)}</p>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
