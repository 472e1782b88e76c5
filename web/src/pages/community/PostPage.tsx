import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { postQuery, type Post } from "../../api/social";
import { useLike, useRemix } from "../../api/useSocial";
import { Page, useTitle } from "../../app/Page";
import { useShortcuts } from "../../app/shortcuts";
import { count, plural } from "../../lib/format";
import { Button, ButtonLink, Empty, Icon, Loaded, Tip, When } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { Player } from "../../ui/Player";
import { ProblemError } from "../../api/problem";
import { Comments } from "./Comments";
import { FollowButton } from "./FollowButton";
import css from "./Post.module.css";
import { PostMenu } from "./PostMenu";
import { ProvenancePanel } from "./ProvenancePanel";
import { RemixTreeDialog } from "./RemixTree";

/** One piece of work, as large as the window allows, and beside it where it comes from and what people say. */
export default function PostPage() {
  const { id = "" } = useParams();
  const post = useQuery(postQuery(id));
  if (post.error instanceof ProblemError && [404, 410].includes(post.error.problem.status)) return <Gone />;
  if (!post.data)
    return (
      <Page title="A piece of work">
        <Loaded of={post}>{() => null}</Loaded>
      </Page>
    );
  return <Shown key={post.data.id} post={post.data} />;
}

function Gone() {
  return (
    <Page title="This is not on the wall">
      <Empty
        title="It was taken down, or it never was here"
        actions={
          <ButtonLink look="primary" to="/community">
            See what is on the wall
          </ButtonLink>
        }
      >
        Whoever published it may have removed it; moderation may have. Remixes of it stay with their makers.
      </Empty>
    </Page>
  );
}

function Shown({ post }: { post: Post }) {
  useTitle(post.title);
  const mine = post.is_mine;
  const [tree, setTree] = useState(false);
  const ratio = post.width && post.height ? post.width / post.height : 1;
  return (
    <div className={css.post}>
      <div className={css.stage} style={{ "--ratio": ratio } as React.CSSProperties}>
        {post.kind === "video" ? (
          <Player src={post.media_url} poster={post.preview_url} label={post.title} start loop />
        ) : (
          <img
            src={post.media_url}
            alt={post.title}
            width={post.width ?? undefined}
            height={post.height ?? undefined}
            style={{ backgroundImage: `url(${post.preview_url})` }}
          />
        )}
      </div>
      <div className={css.side}>
        <header className={css.by}>
          <Link to={`/people/${post.author.handle}`} className={css.author}>
            <Avatar of={post.author} size={36} />
            <span>
              <b>{post.author.name}</b>
              <small>@{post.author.handle}</small>
            </span>
          </Link>
          {!mine && <FollowButton handle={post.author.handle} />}
          <PostMenu post={post} mine={mine} />
        </header>
        <Standing post={post} />
        <h1>{post.title}</h1>
        {post.text && <p className={css.text}>{post.text}</p>}
        {post.tags.length > 0 && (
          <ul className={css.tags} aria-label="Tags">
            {post.tags.map((tag) => (
              <li key={tag}>
                <Link to={`/community?tag=${encodeURIComponent(tag)}`}>{tag}</Link>
              </li>
            ))}
          </ul>
        )}
        <Actions post={post} mine={mine} onTree={() => setTree(true)} />
        <p className={css.meta}>
          <When at={post.created_at} />
          {post.parent_post_id && (
            <>
              {" · "}
              <Link to={`/community/${post.parent_post_id}`}>a remix of this</Link>
            </>
          )}
        </p>
        <ProvenancePanel post={post} onTree={() => setTree(true)} />
        <Comments post={post} />
      </div>
      {tree && <RemixTreeDialog post={post} onClose={() => setTree(false)} />}
    </div>
  );
}

const PUBLISHING_POLL_MS = 1_000;

const REMOVED: Record<string, string> = {
  author: "You took it down.",
  moderation: "Moderation took it down. You find why among your notifications.",
  asset_deleted: "Its file was deleted, and so it came down.",
};

/** What its author sees and nobody else: that it is not on the wall yet, or no longer. */
function Standing({ post }: { post: Post }) {
  useQuery({
    ...postQuery(post.id),
    refetchInterval: post.state === "publishing" ? PUBLISHING_POLL_MS : false,
  });
  if (post.state === "public") return null;
  return (
    <p className={css.standing} role="status">
      <Icon name={post.state === "publishing" ? "clock" : "eyeOff"} />
      {post.state === "publishing"
        ? "It is on its way to the wall. Nobody else sees it yet."
        : post.state === "hidden"
          ? "It is hidden for now. Nobody else sees it."
          : (REMOVED[post.removed_because ?? ""] ?? "It was taken down. Nobody else sees it.")}
    </p>
  );
}

function Actions({ post, mine, onTree }: { post: Post; mine: boolean; onTree: () => void }) {
  const like = useLike();
  const remix = useRemix();
  const flip = () => like.mutate({ id: post.id, like: !post.liked });
  const kept = !post.remixable && !mine;
  const start = () => !remix.isPending && !kept && remix.mutate(post);
  useShortcuts({ s: flip, r: start, t: onTree });
  return (
    <div className={css.actions}>
      <Button
        look="primary"
        icon="remix"
        onClick={start}
        because={
          kept ? "The author keeps this one from remixes" : remix.isPending ? "A board is being made of it" : null
        }
      >
        {remix.isPending ? "Making a board…" : "Remix"}
      </Button>
      <Tip text={post.liked ? "Take the like back" : "Like"} keys="s">
        <button type="button" className={css.like} aria-pressed={post.liked} aria-label="Like" onClick={flip}>
          <Icon name="heart" /> {count(post.likes)}
        </button>
      </Tip>
      {post.remixes > 0 && (
        <Button look="quiet" onClick={onTree}>
          {plural(post.remixes, "remix", "remixes")}
        </Button>
      )}
    </div>
  );
}
