import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import type { Post } from "../../api/social";
import { useLike } from "../../api/useSocial";
import { compact, duration } from "../../lib/format";
import { Icon } from "../../ui";
import css from "./community.module.css";

/** One piece of work on the wall: the work itself, and who made it when one looks closer. */
export function PostTile({ post, byline = true }: { post: Post; byline?: boolean }) {
  const like = useLike();
  const [near, setNear] = useState(false);
  return (
    <article
      className={css.tile}
      onPointerEnter={() => setNear(true)}
      onPointerLeave={() => setNear(false)}
      onFocus={() => setNear(true)}
      onBlur={() => setNear(false)}
    >
      <Link to={`/community/${post.id}`} className={css.work} aria-label={sentenceOf(post)}>
        {/* It stays under the clip: a press on what is taken away before it is let go is no click. */}
        <img src={post.preview_url} alt="" loading="lazy" />
        {near && post.kind === "video" && <MovingPreview post={post} />}
        {post.kind === "video" && (
          <i className={css.clip}>
            <Icon name="play" size={12} /> {post.duration_ms ? duration(post.duration_ms) : ""}
          </i>
        )}
        <span className={css.over} aria-hidden="true">
          <b>{post.title}</b>
          {byline && <small>{post.author.name}</small>}
        </span>
      </Link>
      <button
        type="button"
        className={css.like}
        aria-pressed={post.liked}
        aria-label={`Like ${post.title}`}
        onClick={() => like.mutate({ id: post.id, like: !post.liked })}
      >
        <Icon name="heart" /> {compact(post.likes)}
      </button>
    </article>
  );
}

function sentenceOf(post: Post): string {
  const what = post.kind === "video" ? "clip" : "picture";
  return `${post.title}, ${what} by ${post.author.name}, ${post.likes} likes`;
}

/** A clip moves while one looks at it, without sound; still for those who asked for stillness. */
function MovingPreview({ post }: { post: Post }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) void video.current?.play().catch(() => undefined);
  }, []);
  return <video ref={video} src={post.media_url} poster={post.preview_url} muted loop playsInline preload="none" />;
}
