// What staff decide: reports of the community, and what the image safety model withheld.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, query } from "./http";
import type { components } from "./schema";
import type { Author, Comment, Post } from "./social";
import type { Page } from "./types";

export interface CaseReport {
  reason: string;
  text?: string | null;
  created_at: string;
}

/** Something that was reported, with everything that was said against it. */
export interface Case {
  id: string;
  subject: "post" | "comment" | "profile";
  post?: Post | null;
  post_id?: string | null;
  comment?: Comment | null;
  author: Author | null;
  /** What its author says about themselves. */
  author_bio?: string | null;
  /** The newest of them. */
  reports: CaseReport[];
  /** How many people reported it. */
  report_count?: number;
  created_at: string;
}

export type Verdict = "keep" | "remove" | "ban";
export type Review = components["schemas"]["ReviewView"];

export const moderationKeys = { queue: ["moderation"] as const, reviews: ["reviews"] as const };
const PAGE_SIZE = 30;

export const queueQuery = infiniteQueryOptions({
  queryKey: moderationKeys.queue,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Case>>(`/v1/moderation/queue${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  retry: false,
});

export const reviewsQuery = infiniteQueryOptions({
  queryKey: moderationKeys.reviews,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Review>>(`/v1/reviews${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  retry: false,
});
