// The community as the public API answers it: people, their posts, what others did with them.
import { infiniteQueryOptions, queryOptions, type InfiniteData } from "@tanstack/react-query";
import { api, query } from "./http";
import { ProblemError } from "./problem";
import type { components } from "./schema";
import type { Exactly, Page, Sent } from "./types";

type Schemas = components["schemas"];

export type Author = Sent<Schemas["AuthorView"]>;
export type Provenance = Exactly<Sent<Schemas["ProvenanceView"]>, { parameters: Record<string, unknown> | null }>;
export type Post = Exactly<
  Sent<Schemas["PostView"]>,
  { author: Author; kind: "image" | "video"; provenance: Provenance }
>;
export type Profile = Sent<Schemas["ProfileView"]>;
export type Comment = Exactly<Sent<Schemas["CommentView"]>, { author: Author }>;
export type TagCount = Schemas["TagView"];

export type LineageNode = Exactly<Sent<Schemas["LineageNodeView"]>, { author: Author }>;
export type Lineage = Exactly<Schemas["LineageView"], { nodes: LineageNode[] }>;

export type Feed = "hot" | "new" | "following";
/** What a wall shows. */
export interface WallOf {
  feed?: Feed;
  tag?: string;
  author?: string;
  q?: string;
}

export const socialKeys = {
  posts: ["posts"] as const,
  post: (id: string) => ["post", id] as const,
  comments: (id: string) => ["comments", id] as const,
  lineage: (id: string) => ["lineage", id] as const,
  profile: (handle: string) => ["profile", handle] as const,
  myProfile: ["profile", "me"] as const,
  tags: ["tags"] as const,
};

const WALL_PAGE = 40;
const COMMENTS_PAGE = 50;
const TAGS_MAX = 24;

export const postsQuery = (of: WallOf) =>
  infiniteQueryOptions({
    queryKey: [...socialKeys.posts, of],
    queryFn: ({ pageParam, signal }) =>
      api.get<Page<Post>>(`/v1/posts${query({ ...of, limit: WALL_PAGE, before: pageParam })}`, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next ?? null,
    staleTime: 15_000,
  });

export const postQuery = (id: string) =>
  queryOptions({
    queryKey: socialKeys.post(id),
    queryFn: ({ signal }) => api.get<Post>(`/v1/posts/${id}`, signal),
  });

export const commentsQuery = (postId: string) =>
  infiniteQueryOptions({
    queryKey: socialKeys.comments(postId),
    queryFn: ({ pageParam, signal }) =>
      api.get<Page<Comment>>(
        `/v1/posts/${postId}/comments${query({ limit: COMMENTS_PAGE, before: pageParam })}`,
        signal,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next ?? null,
  });

export const lineageQuery = (postId: string) =>
  queryOptions({
    queryKey: socialKeys.lineage(postId),
    queryFn: ({ signal }) => api.get<Lineage>(`/v1/posts/${postId}/lineage`, signal),
  });

export const profileQuery = (handle: string) =>
  queryOptions({
    queryKey: socialKeys.profile(handle),
    queryFn: ({ signal }) => api.get<Profile>(`/v1/profiles/${encodeURIComponent(handle)}`, signal),
  });

/** The caller's own profile; before they take part it is the one that they would get, and `made` is false. */
export type MyProfile = Profile & { made: boolean };

export const myProfileQuery = queryOptions({
  queryKey: socialKeys.myProfile,
  queryFn: ({ signal }) =>
    api.get<Profile>("/v1/profiles/me", signal).then((profile): MyProfile => ({ ...profile, made: true }), suggested),
  staleTime: 60_000,
  // Nobody waits for it: a page that shows it says so itself.
  retry: 1,
});

function suggested(error: unknown): MyProfile {
  const offered = error instanceof ProblemError ? error.problem.suggested : undefined;
  if (!isOffer(offered)) throw error;
  return {
    ...offered,
    ...{
      made: false,
      bio: "",
      avatar_url: null,
      avatar_asset: null,
      state: "active",
      posts: 0,
      followers: 0,
      following: 0,
    },
    ...{ is_me: true, followed: false, blocked: false, muted: false, created_at: new Date().toISOString() },
  };
}

function isOffer(value: unknown): value is { handle: string; name: string } {
  return typeof value === "object" && value !== null && "handle" in value && "name" in value;
}

export const tagsQuery = queryOptions({
  queryKey: socialKeys.tags,
  queryFn: ({ signal }) => api.get<Page<TagCount>>(`/v1/tags${query({ limit: TAGS_MAX })}`, signal),
  staleTime: 60_000,
});

export type Posts = InfiniteData<Page<Post>>;
export type Comments = InfiniteData<Page<Comment>>;
