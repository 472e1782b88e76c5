// The community as the public API answers it: people, their posts, what others did with them.
import { infiniteQueryOptions, queryOptions, type InfiniteData } from "@tanstack/react-query";
import { api, query } from "./http";
import { ProblemError } from "./problem";
import type { Page } from "./types";

export interface Author {
  handle: string;
  name: string;
  avatar_url: string | null;
}

export interface Provenance {
  model: string | null;
  tool: string | null;
  version: string | null;
  /** Null where the author keeps them. */
  parameters?: Record<string, unknown> | null;
  lineage_url?: string | null;
}

export interface Post {
  id: string;
  author: Author;
  kind: "image" | "video";
  /** `public`; to its author and to staff also `publishing`, `hidden` or `removed`. */
  state: string;
  removed_because: string | null;
  title: string;
  text: string;
  tags: string[];
  media_url: string;
  preview_url: string;
  width: number | null;
  height: number | null;
  duration_ms: number | null;
  likes: number;
  comments: number;
  remixes: number;
  liked: boolean;
  is_mine: boolean;
  remixable: boolean;
  share_parameters: boolean;
  provenance: Provenance;
  parent_post_id: string | null;
  board_id?: string | null;
  created_at: string;
}

export interface Profile extends Author {
  bio: string;
  posts: number;
  followers: number;
  following: number;
  is_me: boolean;
  followed: boolean;
  blocked: boolean;
  muted: boolean;
  /** The picture as an asset, for whose profile it is. */
  avatar_asset?: string | null;
  created_at: string;
}

export interface Comment {
  id: string;
  author: Author;
  text: string;
  created_at: string;
}

export interface TagCount {
  tag: string;
  posts: number;
}

export interface LineageNode {
  id: string;
  title: string;
  author: Author;
  preview_url: string | null;
  removed?: boolean;
}
export interface Lineage {
  nodes: LineageNode[];
  edges: { from: string; to: string }[];
}

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

/** The caller's own profile, null where they have not made one. */
export const myProfileQuery = queryOptions({
  queryKey: socialKeys.myProfile,
  queryFn: ({ signal }) =>
    api.get<Profile>("/v1/profiles/me", signal).catch((error: unknown) => {
      if (error instanceof ProblemError && error.problem.status === 404) return null;
      throw error;
    }),
  staleTime: 60_000,
});

export const tagsQuery = queryOptions({
  queryKey: socialKeys.tags,
  queryFn: ({ signal }) => api.get<Page<TagCount>>(`/v1/tags${query({ limit: TAGS_MAX })}`, signal),
  staleTime: 60_000,
});

export type Posts = InfiniteData<Page<Post>>;
export type Comments = InfiniteData<Page<Comment>>;
