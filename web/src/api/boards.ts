// Calls of /v1/boards. The document itself does not come this way: it is synchronised over the board's socket.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, query } from "./http";
import type { Page } from "./types";

export type BoardRole = "owner" | "editor" | "commenter" | "viewer";

export interface BoardSummary {
  id: string;
  title: string;
  /** Who pays for what runs on it: only people of this organisation may run. */
  organisation_id: string;
  project_id: string | null;
  role: BoardRole;
  is_template: boolean;
  parent_board_id: string | null;
  parent_post_id: string | null;
  nodes: number;
  created_at: string;
  updated_at: string;
  preview_url: string | null;
}

export type BoardTemplate = BoardSummary;

export interface StaleNode {
  node: string;
  tool: string;
  price_micro: number;
  run_ms: number;
  /** What it is fed is not made yet: the price is of what it will probably be fed. */
  estimated?: boolean;
}
export interface PlanProblem {
  node: string | null;
  edge: string | null;
  code: string;
  message: string;
}
export interface BoardPlan {
  revision: number;
  stale: StaleNode[];
  price_micro: number;
  run_ms: number;
  problems: PlanProblem[];
}

export type BoardRunState = "queued" | "running" | "canceling" | "succeeded" | "failed" | "canceled" | "partial";
export interface BoardRunChild {
  node: string;
  run_id: string | null;
  state: string;
  failure: { code: string; message: string } | null;
}
export interface BoardRun {
  id: string;
  /** `nodes`, or `film`. */
  kind: string;
  state: BoardRunState;
  price_micro: number;
  settled_micro: number | null;
  children: BoardRunChild[];
  created_at: string;
  ended_at: string | null;
  asset_id: string | null;
  seconds: number | null;
  otio_url: string | null;
}

export interface Take {
  id: string;
  node: string;
  run_id: string;
  input_hash: string;
  asset: string | null;
  duration_ms: number;
  cost_micro: number;
  seed: number | null;
  stale: boolean;
  created_at: string;
}

export interface BoardComment {
  id: string;
  node: string | null;
  text: string;
  author_id: string;
  resolved_at: string | null;
  created_at: string;
}

export interface Share {
  id: string;
  role: BoardRole;
  expires_at: string | null;
  created_at: string;
}
/** The token and the address are told once, when the link is made. */
export interface NewShare extends Share {
  token: string;
  url: string;
}
export interface BoardMember {
  user_id: string;
  role: BoardRole;
}

const PAGE_SIZE = 60;
const TAKE_PAGE_SIZE = 200;
/** Ten thousand takes: older ones are found in the library. */
const TAKE_PAGES_MAX = 50;
const RUN_REFRESH_MS = 1_500;

export const boardKeys = {
  boards: ["boards"] as const,
  board: (id: string) => ["board", id] as const,
  plan: (id: string) => ["board", id, "plan"] as const,
  takes: (id: string) => ["board", id, "takes"] as const,
  runs: (id: string) => ["board", id, "runs"] as const,
  comments: (id: string) => ["board", id, "comments"] as const,
  shares: (id: string) => ["board", id, "shares"] as const,
  members: (id: string) => ["board", id, "members"] as const,
};

export const boardsQuery = infiniteQueryOptions({
  queryKey: boardKeys.boards,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<BoardSummary>>(`/v1/boards${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
});

export const templatesQuery = queryOptions({
  queryKey: ["board-templates"],
  queryFn: ({ signal }) => api.get<Page<BoardTemplate>>("/v1/board-templates", signal),
  staleTime: 300_000,
});

export const boardQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.board(id),
    queryFn: ({ signal }) => api.get<BoardSummary>(`/v1/boards/${id}`, signal),
    staleTime: 10_000,
  });

export const takesQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.takes(id),
    queryFn: async ({ signal }) => {
      const takes: Take[] = [];
      let before: string | null = null;
      for (let page = 0; page < TAKE_PAGES_MAX; page += 1) {
        const path: string = `/v1/boards/${id}/takes${query({ limit: TAKE_PAGE_SIZE, before })}`;
        const answer: Page<Take> = await api.get<Page<Take>>(path, signal);
        takes.push(...answer.items);
        if (!answer.next) break;
        before = answer.next;
      }
      return takes;
    },
    staleTime: 5_000,
  });

export const isOverBoardRun = (run: Pick<BoardRun, "state">) =>
  ["succeeded", "failed", "canceled", "partial"].includes(run.state);

/** The socket tells what changes; asking again covers what it may have missed. */
export const boardRunsQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.runs(id),
    queryFn: async ({ signal }) => (await api.get<Page<BoardRun>>(`/v1/boards/${id}/runs`, signal)).items,
    staleTime: 2_000,
    refetchInterval: (runs) => (runs.state.data?.some((run) => !isOverBoardRun(run)) ? RUN_REFRESH_MS : false),
  });

export const commentsQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.comments(id),
    queryFn: async ({ signal }) => (await api.get<Page<BoardComment>>(`/v1/boards/${id}/comments`, signal)).items,
  });

export const sharesQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.shares(id),
    queryFn: async ({ signal }) => (await api.get<Page<Share>>(`/v1/boards/${id}/shares`, signal)).items,
    // Whoever looks decides by it who may stay: never from memory.
    staleTime: 0,
    retry: false,
  });

export const boardMembersQuery = (id: string) =>
  queryOptions({
    queryKey: boardKeys.members(id),
    queryFn: async ({ signal }) => (await api.get<Page<BoardMember>>(`/v1/boards/${id}/members`, signal)).items,
    staleTime: 0,
    retry: false,
  });

export interface FilmOrder {
  width: number;
  height: number;
  fps: number;
  loudness_lufs: number;
  max_price_micro?: number;
}

const once = () => ({ "idempotency-key": crypto.randomUUID() });

export const boardCalls = {
  create: (body: { title: string; project_id?: string; template_id?: string }) =>
    api.post<BoardSummary>("/v1/boards", body, once()),
  rename: (id: string, title: string) => api.patch<BoardSummary>(`/v1/boards/${id}`, { title }),
  remove: (id: string) => api.delete<void>(`/v1/boards/${id}`),
  plan: (id: string, wanted: { nodes?: string[]; force?: boolean } = {}) =>
    api.post<BoardPlan>(`/v1/boards/${id}/plan`, wanted),
  run: (id: string, body: { nodes?: string[]; force?: boolean; max_price_micro: number }, key: string) =>
    api.post<BoardRun>(`/v1/boards/${id}/runs`, body, { "idempotency-key": key }),
  cancel: (runId: string) => api.post<BoardRun>(`/v1/board-runs/${runId}/cancel`),
  export: (id: string, body: FilmOrder, key: string) =>
    api.post<BoardRun>(`/v1/boards/${id}/export`, body, { "idempotency-key": key }),
  /** What the film would cost; nothing is held. */
  filmPrice: async (id: string, order: FilmOrder): Promise<number> =>
    (await api.post<{ price_micro: number }>(`/v1/boards/${id}/export/quote`, order)).price_micro,
  comment: (id: string, body: { node?: string; text: string }) =>
    api.post<BoardComment>(`/v1/boards/${id}/comments`, body),
  resolve: (id: string, comment: string) => api.post<void>(`/v1/boards/${id}/comments/${comment}/resolve`),
  removeComment: (id: string, comment: string) => api.delete<void>(`/v1/boards/${id}/comments/${comment}`),
  share: (id: string, body: { role: BoardRole; expires_in_s?: number }) =>
    api.post<NewShare>(`/v1/boards/${id}/shares`, body),
  unshare: (id: string, share: string) => api.delete<void>(`/v1/boards/${id}/shares/${share}`),
  accept: (token: string) => api.post<BoardSummary>("/v1/boards/shares/accept", { token }),
  addMember: (id: string, user: string, role: BoardRole) =>
    api.post<BoardMember>(`/v1/boards/${id}/members`, { user_id: user, role }),
  removeMember: (id: string, user: string) => api.delete<void>(`/v1/boards/${id}/members/${user}`),
  makeTemplate: (id: string) => api.post<unknown>(`/v1/boards/${id}/template`),
};
