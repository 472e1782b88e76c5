import { useInfiniteQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import { moderationKeys, reviewsQuery, type Review } from "../../api/moderation";
import type { Page as ApiPage } from "../../api/types";
import { useSession } from "../../app/session";
import { dateTime, humanise, shortId } from "../../lib/format";
import { Button, Empty, Icon, Id, Loaded, When } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./moderation.module.css";
import { useQueueKeys } from "./useQueueKeys";

const PPM = 1_000_000;
type Decision = "release" | "uphold";

/** What the safety model held back: released, it is delivered and charged; upheld, it is thrown away and costs nothing. */
export function Reviews() {
  const { organisation } = useSession();
  const reviews = useInfiniteQuery(reviewsQuery);
  const items = reviews.data?.pages.flatMap((page) => page.items) ?? [];
  const decide = useDecide();
  const { list, current, choose } = useQueueKeys(items, {
    a: (item) => decide(item, "release"),
    x: (item) => decide(item, "uphold"),
  });
  return (
    <Loaded of={reviews} waiting="Fetching what was withheld…">
      {() =>
        current === null && reviews.hasNextPage ? (
          <Empty title="There are more" actions={<More of={reviews} />}>
            What was listed is decided.
          </Empty>
        ) : current === null ? (
          <Empty title="The model withholds nothing">
            When it is unsure about what goes into a run or comes out of one, a person decides it here.
          </Empty>
        ) : (
          <div className={css.queue}>
            <ol ref={list} aria-label="Withheld">
              {items.map((item) => (
                <li key={item.id}>
                  <button type="button" aria-current={item.id === current.id} onClick={() => choose(item.id)}>
                    <i>
                      <Icon name="shield" />
                    </i>
                    <span>
                      <b>
                        {humanise(item.tool)}, its {item.side}
                      </b>
                      <small>
                        {scoreWords(item)} · <When at={item.created_at} />
                      </small>
                    </span>
                  </button>
                </li>
              ))}
              {reviews.hasNextPage && (
                <li>
                  <More of={reviews} />
                </li>
              )}
            </ol>
            <section
              className={css.case}
              aria-label={`${humanise(current.tool)}, its ${current.side}`}
              key={current.id}
            >
              {current.media.map((medium, index) => (
                <Veiled key={index} url={medium.url ?? null} type={medium.content_type ?? ""} />
              ))}
              <header className={css.subject}>
                <div>
                  <h2>
                    {humanise(current.tool)}, its {current.side}
                  </h2>
                  <p>
                    {scoreWords(current)} · run{" "}
                    {current.organisation_id === organisation.id ? (
                      <Link to={`/runs/${current.run_id}`}>{shortId(current.run_id)}</Link>
                    ) : (
                      <Id value={current.run_id} />
                    )}
                  </p>
                </div>
              </header>
              <p className={css.text}>{stakes(current)}</p>
              {current.note && <p className={css.text}>{current.note}</p>}
              <div className={css.verdicts}>
                <Button icon="check" onClick={() => decide(current, "release")}>
                  Let it pass
                </Button>
                <Button icon="eyeOff" danger onClick={() => decide(current, "uphold")}>
                  Keep it refused
                </Button>
              </div>
            </section>
          </div>
        )
      }
    </Loaded>
  );
}

/** What the decision does: what came out of a run waits for it, what went into one does not. */
function stakes(item: Review): string {
  if (item.side === "input")
    return "The run that it was for has ended, and cost nothing. Passed, it may be used from now on.";
  const until = item.due_at ? ` Undecided, it stays refused on ${dateTime(item.due_at)}.` : "";
  return `Passed, it is delivered and charged; refused, it is thrown away and costs nothing.${until}`;
}

const SAID: Record<Review["side"], Record<Decision, string>> = {
  input: { release: "It may be used from now on.", uphold: "It is run by nothing." },
  output: { release: "It is delivered, and charged.", uphold: "It is thrown away, and costs nothing." },
};

function More({ of }: { of: { fetchNextPage: () => unknown; isFetchingNextPage: boolean } }) {
  return (
    <Button
      look="quiet"
      onClick={() => void of.fetchNextPage()}
      because={of.isFetchingNextPage ? "They are being fetched" : null}
    >
      More
    </Button>
  );
}

function scoreWords(item: Review): string {
  return item.score_ppm === null || item.score_ppm === undefined
    ? "could not be judged"
    : `score ${Math.round((100 * item.score_ppm) / PPM)} of 100`;
}

/** Nobody has to see at once what a model held back: it is blurred until one asks for it. */
function Veiled({ url, type }: { url: string | null; type: string }) {
  const [shown, setShown] = useState(false);
  if (!url) return <p className={css.gone}>The file is gone.</p>;
  return (
    <div className={css.veil} data-shown={shown || undefined}>
      {type.startsWith("video/") ? (
        <video src={url} controls={shown} preload="metadata" aria-label="What was withheld" />
      ) : (
        <img src={url} alt="What was withheld" />
      )}
      <Button icon={shown ? "eyeOff" : "eye"} onClick={() => setShown(!shown)}>
        {shown ? "Blur it" : "Look at it"}
      </Button>
    </div>
  );
}

function useDecide(): (item: Review, decision: Decision) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (item, decision) => {
    const before = client.getQueryData(moderationKeys.reviews);
    client.setQueryData<InfiniteData<ApiPage<Review>>>(
      moderationKeys.reviews,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({ ...page, items: page.items.filter((one) => one.id !== item.id) })),
        },
    );
    const putBack = () => client.setQueryData(moderationKeys.reviews, before);
    later(
      {
        title: decision === "release" ? "It passes" : "It stays refused",
        text: SAID[item.side][decision],
      },
      () =>
        void api.post(`/v1/reviews/${item.id}`, { decision }).then(
          () => client.invalidateQueries({ queryKey: moderationKeys.reviews }),
          (error: unknown) => {
            putBack();
            sayProblem(error);
          },
        ),
      putBack,
    );
  };
}
