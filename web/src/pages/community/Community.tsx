import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { postsQuery, tagsQuery, type Feed } from "../../api/social";
import { useTitle } from "../../app/Page";
import { useShortcuts } from "../../app/shortcuts";
import { ButtonLink, Icon, Kbd } from "../../ui";
import css from "./community.module.css";
import { PostWall } from "./PostWall";

const FEEDS: { feed: Feed; label: string }[] = [
  { feed: "hot", label: "Hot" },
  { feed: "new", label: "New" },
  { feed: "following", label: "Following" },
];
const DEBOUNCE_MS = 250;

/** The wall of what people published. What it shows is in the address. */
export default function Community() {
  useTitle("Community");
  const [search] = useSearchParams();
  const feed = FEEDS.find((one) => one.feed === search.get("feed"))?.feed ?? "hot";
  const tag = search.get("tag") ?? "";
  const q = search.get("q") ?? "";
  const posts = useInfiniteQuery({
    ...postsQuery({ feed, ...(tag ? { tag } : {}), ...(q ? { q } : {}) }),
    // While one types, what was found before stays where it is.
    placeholderData: keepPreviousData,
  });
  return (
    <div className={css.page}>
      <header className={css.head}>
        <h1>Community</h1>
        <nav className={css.feeds} aria-label="Order">
          {FEEDS.map((one) => (
            <Link
              key={one.feed}
              to={addressOf(search, { feed: one.feed })}
              aria-current={one.feed === feed ? "page" : undefined}
            >
              {one.label}
            </Link>
          ))}
        </nav>
        <Search />
        <ButtonLink to="/library?publish=1" look="primary" icon="publish" className={css.publish}>
          Publish
        </ButtonLink>
      </header>
      <Tags chosen={tag} search={search} />
      <PostWall
        posts={posts}
        label={`Work, ${feed === "hot" ? "what is liked now first" : "newest first"}`}
        empty={<Nothing feed={feed} tag={tag} q={q} search={search} />}
      />
    </div>
  );
}

/** The same page with some of its address changed. */
function addressOf(search: URLSearchParams, change: Record<string, string | null>): string {
  const next = new URLSearchParams(search);
  for (const [key, value] of Object.entries(change)) {
    if (value) next.set(key, value);
    else next.delete(key);
  }
  const text = next.toString();
  return text ? `/community?${text}` : "/community";
}

function Search() {
  const [search, setSearch] = useSearchParams();
  const asked = search.get("q") ?? "";
  const [text, setText] = useState(asked);
  const box = useRef<HTMLInputElement>(null);
  useShortcuts({ "/": () => box.current?.focus() });
  useEffect(() => setText(asked), [asked]);
  useEffect(() => {
    if (text === asked) return;
    const timer = setTimeout(
      () =>
        setSearch(
          (old) => {
            const next = new URLSearchParams(old);
            if (text.trim()) next.set("q", text.trim());
            else next.delete("q");
            return next;
          },
          { replace: true },
        ),
      DEBOUNCE_MS,
    );
    return () => clearTimeout(timer);
  }, [text, asked, setSearch]);
  return (
    <label className={css.search}>
      <Icon name="search" />
      <input
        ref={box}
        type="search"
        value={text}
        placeholder="Search titles, texts, tags"
        aria-label="Search the community"
        maxLength={100}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            setText("");
            event.currentTarget.blur();
          }
        }}
      />
      <Kbd>/</Kbd>
    </label>
  );
}

function Tags({ chosen, search }: { chosen: string; search: URLSearchParams }) {
  const tags = useQuery(tagsQuery).data?.items ?? [];
  const listed = chosen && !tags.some((one) => one.tag === chosen) ? [{ tag: chosen, posts: 0 }, ...tags] : tags;
  if (listed.length === 0) return null;
  return (
    <nav className={css.tags} aria-label="Tags">
      <ul>
        {listed.map((one) => (
          <li key={one.tag}>
            <Link
              to={addressOf(search, { tag: one.tag === chosen ? null : one.tag })}
              className={css.tag}
              aria-current={one.tag === chosen ? "true" : undefined}
              aria-label={one.tag === chosen ? `${one.tag}, chosen: show all tags` : one.tag}
            >
              {one.tag}
              {one.tag === chosen && <Icon name="close" size={12} />}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Nothing({ feed, tag, q, search }: { feed: Feed; tag: string; q: string; search: URLSearchParams }) {
  if (q || tag) {
    return (
      <div className={css.nothing}>
        <h2>Nothing {q ? `matches “${q}”` : `carries the tag ${tag}`}</h2>
        <p>{q && tag ? `Only posts with the tag ${tag} were searched.` : "Titles, texts and tags were looked at."}</p>
        <ButtonLink to={addressOf(search, { q: null, tag: null })}>Show everything</ButtonLink>
      </div>
    );
  }
  if (feed === "following") {
    return (
      <div className={css.nothing}>
        <h2>Nobody whom you follow has published yet</h2>
        <p>Open a piece of work that you like and follow whoever made it. What they publish next hangs here.</p>
        <ButtonLink to="/community" look="primary">
          See what is liked now
        </ButtonLink>
      </div>
    );
  }
  return (
    <div className={css.nothing}>
      <h2>The wall is empty</h2>
      <p>Make something in the studio, then publish it: you say what is shared, and whether others may remix it.</p>
      <ButtonLink to="/studio?new=1" look="primary" icon="upload">
        Bring a photograph
      </ButtonLink>
    </div>
  );
}
