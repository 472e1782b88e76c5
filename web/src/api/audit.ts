// Who changed what: the organisation's log, and what staff decided about reports.
import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, query } from "./http";
import type { components } from "./schema";
import type { Exactly, Page } from "./types";

type Schemas = components["schemas"];
type Detail = Record<string, unknown>;

/** One change in the organisation. */
export type AuditRow = Exactly<Schemas["AuditRow"], { detail: Detail }>;
/** One decision of the staff. */
export type DecisionRow = Exactly<Schemas["AuditView"], { detail: Detail }>;

/** Which part of the log: of one kind, by one person; null is all. */
export interface AuditOf {
  kind: string | null;
  by: string | null;
}

const PAGE_SIZE = 60;

export const auditQuery = ({ kind, by }: AuditOf) =>
  infiniteQueryOptions({
    queryKey: ["audit", kind, by],
    queryFn: ({ pageParam, signal }) =>
      api.get<Page<AuditRow>>(
        `/v1/identity/audit${query({ limit: PAGE_SIZE, before: pageParam, kind, actor: by })}`,
        signal,
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next ?? null,
    retry: false,
  });

export const decisionsQuery = infiniteQueryOptions({
  queryKey: ["moderation", "decided"],
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<DecisionRow>>(`/v1/moderation/audit${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  retry: false,
});
