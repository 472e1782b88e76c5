// What staff decide: reports of the community, and what the image safety model withheld.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, query } from "./http";
import type { components } from "./schema";
import type { Author, Comment, Post } from "./social";
import type { Exactly, Page, Sent } from "./types";

type Schemas = components["schemas"];

/** Something that was reported, with everything that was said against it. */
export type Case = Exactly<
  Sent<Schemas["CaseView"]>,
  { subject: "post" | "comment" | "profile"; post: Post | null; comment: Comment | null; author: Author | null }
>;

export type Verdict = "keep" | "remove" | "ban";
export type Review = Schemas["ReviewView"];

export const moderationKeys = { queue: ["moderation"] as const, reviews: ["reviews"] as const };
const PAGE_SIZE = 30;
/** Whoever sits before the queue sees what comes; the pictures’ addresses hold for ten minutes. */
const REFRESH_MS = 60_000;

export const queueQuery = infiniteQueryOptions({
  queryKey: moderationKeys.queue,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Case>>(`/v1/moderation/queue${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  refetchInterval: REFRESH_MS,
  retry: false,
});

export const reviewsQuery = infiniteQueryOptions({
  queryKey: moderationKeys.reviews,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Review>>(`/v1/reviews${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  refetchInterval: REFRESH_MS,
  retry: false,
});
