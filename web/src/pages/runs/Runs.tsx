import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { runsQuery } from "../../api/queries";
import type { Run } from "../../api/types";
import { Page } from "../../app/Page";
import { credits, duration, humanise } from "../../lib/format";
import { previewUrl } from "../../lib/media";
import { isOver } from "../../lib/phases";
import { assetOf, takeLabel } from "../../lib/schema";
import { Button, ButtonLink, Empty, Id, Loaded, StateTag, uiCss, When } from "../../ui";
import css from "./runs.module.css";

const REFRESH_MS = 4_000;

export default function Runs() {
  const runs = useInfiniteQuery({
    ...runsQuery,
    refetchInterval: (query) =>
      query.state.data?.pages.some((page) => page.items.some((run) => !isOver(run))) ? REFRESH_MS : false,
  });
  const items = runs.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Page
      title="Runs"
      lead="Everything that was asked for, newest first. Open one to see what happened when, and who paid."
    >
      <Loaded of={runs} waiting="Fetching the runs…">
        {() =>
          items.length === 0 ? (
            <Empty
              title="Nothing has run yet"
              actions={
                <ButtonLink to="/studio" look="primary">
                  Go to the studio
                </ButtonLink>
              }
            >
              A run is one tool on one picture. It shows its price before it starts, and its whole story after it ends.
            </Empty>
          ) : (
            <>
              <div className={uiCss.scroll}>
                <table className={`${uiCss.table} ${css.list}`}>
                  <thead>
                    <tr>
                      <th>
                        <span className="sr-only">Picture</span>
                      </th>
                      <th>What</th>
                      <th>State</th>
                      <th className={uiCss.num}>Credits</th>
                      <th className={uiCss.num}>Took</th>
                      <th>When</th>
                      <th>Run</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((run) => (
                      <RunRow key={run.id} run={run} />
                    ))}
                  </tbody>
                </table>
              </div>
              {runs.hasNextPage && (
                <p style={{ marginTop: 16 }}>
                  <Button
                    onClick={() => void runs.fetchNextPage()}
                    because={runs.isFetchingNextPage ? "Fetching" : null}
                  >
                    Older runs
                  </Button>
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function RunRow({ run }: { run: Run }) {
  const picture = run.outputs[0]?.id ?? assetOf(run.input);
  return (
    <tr>
      <td className={css.thumb} data-part="thumb">
        {picture && <img src={previewUrl(picture)} alt="" loading="lazy" />}
      </td>
      <td data-part="what">
        <Link to={`/runs/${run.id}`}>{humanise(run.tool)}</Link>
        <div className={css.soft}>{takeLabel(run.input)}</div>
      </td>
      <td data-part="state">
        <StateTag state={run.state} phase={run.phase} />
        {run.failure && <div className={css.why}>{run.failure.message}</div>}
      </td>
      <td className={uiCss.num} data-part="credits">
        {run.settled_micro !== null ? (
          credits(run.settled_micro)
        ) : (
          <span className={css.soft}>{credits(run.held_micro || run.price_micro)} held</span>
        )}
      </td>
      <td className={uiCss.num} data-part="took">
        {run.ended_at ? duration(Date.parse(run.ended_at) - Date.parse(run.created_at)) : ""}
      </td>
      <td className={css.soft} data-part="when">
        <When at={run.created_at} />
      </td>
      <td data-part="id">
        <Id value={run.id} />
      </td>
    </tr>
  );
}
