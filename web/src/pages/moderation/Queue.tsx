import { useInfiniteQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import { moderationKeys, queueQuery, type Case, type Verdict } from "../../api/moderation";
import { socialKeys } from "../../api/social";
import type { Page as ApiPage } from "../../api/types";
import { capital, humanise, plural } from "../../lib/format";
import { Button, Empty, Icon, Loaded, TextField, When } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { Player } from "../../ui/Player";
import { useToasts } from "../../ui/toasts";
import { REASONS } from "../community/ReportDialog";
import css from "./moderation.module.css";
import { useQueueKeys } from "./useQueueKeys";

const REASON_MAX = 1_000;
const SAID: Record<Verdict, string> = { keep: "It stays", remove: "It is taken down", ban: "Its author is banned" };

/** What people reported, oldest wait first as the server lists it, each with a decision. */
export function Queue() {
  const queue = useInfiniteQuery(queueQuery);
  const items = queue.data?.pages.flatMap((page) => page.items) ?? [];
  const [reason, setReason] = useState("");
  const decide = useDecide();
  const act = (verdict: Verdict) => (item: Case) => {
    decide(item, verdict, reason.trim());
    setReason("");
  };
  const { list, current, choose } = useQueueKeys(items, { a: act("keep"), x: act("remove"), b: act("ban") });
  return (
    <Loaded of={queue} waiting="Fetching what was reported…">
      {() =>
        current === null ? (
          <Empty title="Nothing waits for a decision">What people report comes up here, with what they say.</Empty>
        ) : (
          <div className={css.queue}>
            <ol ref={list} aria-label="Reported">
              {items.map((item) => (
                <li key={item.id}>
                  <button type="button" aria-current={item.id === current.id} onClick={() => choose(item.id)}>
                    {item.post ? (
                      <img src={item.post.preview_url} alt="" loading="lazy" />
                    ) : (
                      <i>
                        <Icon name={item.subject === "comment" ? "comment" : "person"} />
                      </i>
                    )}
                    <span>
                      <b>{nameOf(item)}</b>
                      <small>
                        {plural(item.report_count ?? item.reports.length, "report", "reports")} ·{" "}
                        {humanise(item.subject)} · <When at={item.created_at} />
                      </small>
                    </span>
                  </button>
                </li>
              ))}
              {queue.hasNextPage && (
                <li>
                  <Button look="quiet" onClick={() => void queue.fetchNextPage()}>
                    More
                  </Button>
                </li>
              )}
            </ol>
            <section className={css.case} aria-label={nameOf(current)} key={current.id}>
              <Subject item={current} />
              <Reports item={current} />
              <div className={css.decide}>
                <TextField
                  label="Reason, which its author reads"
                  maxLength={REASON_MAX}
                  value={reason}
                  onChange={(event) => setReason(event.target.value)}
                />
                <div className={css.verdicts}>
                  <Button icon="check" onClick={() => act("keep")(current)}>
                    Keep it
                  </Button>
                  <Button icon="eyeOff" danger onClick={() => act("remove")(current)}>
                    Take it down
                  </Button>
                  <Button look="quiet" danger icon="shield" onClick={() => act("ban")(current)}>
                    Ban its author
                  </Button>
                </div>
              </div>
            </section>
          </div>
        )
      }
    </Loaded>
  );
}

function nameOf(item: Case): string {
  if (item.subject === "profile") return item.author ? `@${item.author.handle}` : "A profile";
  if (item.subject === "comment") return item.comment ? `“${item.comment.text.slice(0, 60)}”` : "A comment";
  return item.post?.title ?? "A post";
}

function Subject({ item }: { item: Case }) {
  const { post, comment, author } = item;
  return (
    <>
      {post &&
        (post.kind === "video" ? (
          <div className={css.media}>
            <Player src={post.media_url} poster={post.preview_url} label={post.title} />
          </div>
        ) : (
          <img className={css.media} src={post.media_url} alt={post.title} />
        ))}
      <header className={css.subject}>
        {author && <Avatar of={author} size={36} />}
        <div>
          <h2>{post?.title ?? (comment ? "A comment" : (author?.name ?? "A profile"))}</h2>
          {author && (
            <p>
              <Link to={`/people/${author.handle}`}>@{author.handle}</Link>
              {item.post_id && (
                <>
                  {" · "}
                  <Link to={`/community/${item.post_id}`}>open where it stands</Link>
                </>
              )}
            </p>
          )}
        </div>
      </header>
      {comment && <blockquote>{comment.text}</blockquote>}
      {item.subject === "profile" && item.author_bio && <blockquote>{item.author_bio}</blockquote>}
      {post?.text && <p className={css.text}>{post.text}</p>}
    </>
  );
}

function Reports({ item }: { item: Case }) {
  return (
    <ul className={css.reports} aria-label="Reports">
      {item.reports.map((report, index) => (
        <li key={index}>
          <b>{REASONS.find(([value]) => value === report.reason)?.[1] ?? capital(report.reason)}</b>{" "}
          <small>
            <When at={report.created_at} />
          </small>
          {report.text && <p>{report.text}</p>}
        </li>
      ))}
    </ul>
  );
}

/** Out of the queue at once, decided a moment later unless one undoes it. */
function useDecide(): (item: Case, verdict: Verdict, reason: string) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (item, verdict, reason) => {
    const before = client.getQueryData(moderationKeys.queue);
    client.setQueryData<InfiniteData<ApiPage<Case>>>(
      moderationKeys.queue,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({ ...page, items: page.items.filter((one) => one.id !== item.id) })),
        },
    );
    const putBack = () => {
      client.setQueryData(moderationKeys.queue, before);
      void client.invalidateQueries({ queryKey: moderationKeys.queue });
    };
    later(
      { title: SAID[verdict], text: nameOf(item) },
      () =>
        void api
          .post(`/v1/moderation/${item.id}`, { decision: verdict, reason: reason || DEFAULT_REASON[verdict] })
          .then(
            () => {
              void client.invalidateQueries({ queryKey: moderationKeys.queue });
              void client.invalidateQueries({ queryKey: socialKeys.posts });
            },
            (error: unknown) => {
              putBack();
              sayProblem(error);
            },
          ),
      putBack,
    );
  };
}

const DEFAULT_REASON: Record<Verdict, string> = {
  keep: "It keeps to the rules.",
  remove: "It does not keep to the rules of the community.",
  ban: "It breaks the rules of the community gravely or again.",
};
