// Calls of /v1/boards. The document itself does not come this way: it is synchronised over the board's socket.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { idempotencyKey } from "../lib/keys";
import { api, query } from "./http";
import type { components } from "./schema";
import type { Exactly, Page, Sent } from "./types";

type Schemas = components["schemas"];

export type BoardRole = Schemas["business_Role"];
export type BoardSummary = Sent<Schemas["BoardView"]>;

export type StaleNode = Schemas["StaleView"];
export type PlanProblem = Sent<Schemas["Fault"]>;
export type BoardPlan = Exactly<Schemas["PlanView"], { problems: PlanProblem[] }>;

export type BoardRunState = Schemas["BoardRunState"];
export type BoardRunChild = Sent<Schemas["ChildView"]>;
export type BoardRun = Exactly<Sent<Schemas["BoardRunView"]>, { children: BoardRunChild[] }>;
export type Take = Sent<Schemas["TakeView"]>;

export type BoardComment = Sent<Schemas["BoardCommentView"]>;

/** The token and the address are told once, when the link is made. */
export type Share = Sent<Schemas["ShareView"]>;
export type BoardMember = Schemas["MemberView"];

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
  queryFn: ({ signal }) => api.get<Page<BoardSummary>>("/v1/board-templates", signal),
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

export type FilmOrder = Schemas["ExportBody"];

const once = () => ({ "idempotency-key": idempotencyKey() });

export const boardCalls = {
  create: (body: { title: string; project_id?: string; template_id?: string }) =>
    api.post<BoardSummary>("/v1/boards", body, once()),
  rename: (id: string, title: string) => api.patch<BoardSummary>(`/v1/boards/${id}`, { title }),
  cover: (id: string, preview_asset: string) => api.patch<BoardSummary>(`/v1/boards/${id}`, { preview_asset }),
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
    (await api.post<Schemas["FilmQuoteView"]>(`/v1/boards/${id}/export/quote`, order)).price_micro,
  comment: (id: string, body: { node?: string; text: string }) =>
    api.post<BoardComment>(`/v1/boards/${id}/comments`, body),
  resolve: (id: string, comment: string) => api.post<void>(`/v1/boards/${id}/comments/${comment}/resolve`),
  removeComment: (id: string, comment: string) => api.delete<void>(`/v1/boards/${id}/comments/${comment}`),
  share: (id: string, body: { role: BoardRole; expires_in_s?: number }) =>
    api.post<Share>(`/v1/boards/${id}/shares`, body),
  unshare: (id: string, share: string) => api.delete<void>(`/v1/boards/${id}/shares/${share}`),
  accept: (token: string) => api.post<BoardSummary>("/v1/boards/shares/accept", { token }),
  addMember: (id: string, user: string, role: BoardRole) =>
    api.post<BoardMember>(`/v1/boards/${id}/members`, { user_id: user, role }),
  removeMember: (id: string, user: string) => api.delete<void>(`/v1/boards/${id}/members/${user}`),
  makeTemplate: (id: string) => api.post<unknown>(`/v1/boards/${id}/template`),
};
