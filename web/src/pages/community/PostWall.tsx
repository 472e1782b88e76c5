import type { UseInfiniteQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Post, Posts } from "../../api/social";
import { Loaded, ProblemView, uiCss } from "../../ui";
import { Wall } from "../../ui/Wall";
import { PostTile } from "./PostTile";
import css from "./community.module.css";

const ROW_PX = 280;
const ROW_PX_PHONE = 190;

/** A wall of posts that goes on as one scrolls, and says so where it cannot. */
export function PostWall({
  posts,
  label,
  empty,
  byline = true,
}: {
  posts: UseInfiniteQueryResult<Posts>;
  label: string;
  empty: ReactNode;
  byline?: boolean;
}) {
  return (
    <Loaded of={posts} waiting="Hanging the wall…">
      {({ pages }) => {
        const shown = unique(pages.flatMap((page) => page.items));
        if (shown.length === 0) return empty;
        return (
          <div className={css.shown} aria-busy={posts.isPlaceholderData}>
            <Wall
              items={shown}
              idOf={(post) => post.id}
              ratioOf={(post) => (post.width && post.height ? post.width / post.height : 1)}
              label={label}
              row_px={ROW_PX}
              row_px_phone={ROW_PX_PHONE}
              more={
                posts.hasNextPage && !posts.isPlaceholderData && !posts.isFetchingNextPage && !posts.error
                  ? () => void posts.fetchNextPage()
                  : null
              }
            >
              {(post) => <PostTile post={post} byline={byline} />}
            </Wall>
            <div className={css.end} role="status">
              {posts.isFetchingNextPage ? <p className={uiCss.waiting}>More of it…</p> : null}
              {posts.error && !posts.isFetchingNextPage ? (
                <ProblemView error={posts.error} onRetry={() => void posts.fetchNextPage()} />
              ) : null}
              {!posts.hasNextPage && shown.length > END_MIN ? (
                <p className={uiCss.waiting}>That is all of it.</p>
              ) : null}
            </div>
          </div>
        );
      }}
    </Loaded>
  );
}

const END_MIN = 12;

/** A wall that moves while one reads it may give a post twice, on two pages. */
function unique(posts: Post[]): Post[] {
  const seen = new Set<string>();
  return posts.filter((post) => !seen.has(post.id) && seen.add(post.id));
}
