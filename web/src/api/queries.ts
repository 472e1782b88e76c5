import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, query } from "./http";
import type {
  ApiKey,
  Asset,
  Balance,
  Extension,
  Fleet,
  Invitation,
  LedgerCheck,
  Mandate,
  Me,
  Member,
  Metric,
  MetricRows,
  MetricSummary,
  Page,
  Plan,
  Quote,
  Run,
  Subscription,
  Timeline,
  Tool,
  Transaction,
} from "./types";

export const keys = {
  me: ["me"] as const,
  tools: ["tools"] as const,
  runs: ["runs"] as const,
  run: (id: string) => ["run", id] as const,
  assets: ["assets"] as const,
  asset: (id: string) => ["asset", id] as const,
  balance: ["balance"] as const,
  members: ["members"] as const,
  invitations: ["invitations"] as const,
  mandates: ["mandates"] as const,
  apiKeys: ["api-keys"] as const,
};

const PAGE_SIZE = 60;
const FLEET_REFRESH_MS = 2_000;
const LEDGER_REFRESH_MS = 30_000;

export const meQuery = queryOptions({
  queryKey: keys.me,
  queryFn: ({ signal }) => api.get<Me>("/v1/identity/me", signal),
  staleTime: 60_000,
  retry: false,
});

const TOOLS_FRESH_MS = 4_000;
const CATEGORIES = ["image", "video", "audio"];

function placeOf({ category }: Tool): number {
  const place = CATEGORIES.indexOf(category);
  return place < 0 ? CATEGORIES.length : place;
}

export const toolsQuery = queryOptions({
  queryKey: keys.tools,
  queryFn: async ({ signal }) => {
    const { items } = await api.get<Page<Tool>>("/v1/tools", signal);
    // Pictures before films, films before sound: what is quick and cheap stands first.
    return items.sort((a, b) => placeOf(a) - placeOf(b) || a.label.localeCompare(b.label));
  },
  staleTime: TOOLS_FRESH_MS,
  // Whoever writes an extension saves its file and looks here: its form follows within seconds.
  refetchInterval: ({ state }) => (state.data?.some((tool) => tool.source === "extension") ? TOOLS_FRESH_MS : false),
});

/** The extensions whose folders are watched; an older server has none. */
export const extensionsQuery = queryOptions({
  queryKey: ["extensions"],
  queryFn: ({ signal }) => api.get<Page<Extension>>("/v1/extensions", signal),
  refetchInterval: TOOLS_FRESH_MS,
  retry: false,
});

export const quoteQuery = (tool: string, version: string, input: Record<string, unknown>, projectId: string | null) =>
  queryOptions({
    queryKey: ["quote", tool, version, input, projectId],
    queryFn: () =>
      api.post<Quote>(`/v1/tools/${tool}/quote`, { version, input, ...(projectId ? { project_id: projectId } : {}) }),
    staleTime: 10_000,
    retry: false,
  });

export const runQuery = (id: string) =>
  queryOptions({ queryKey: keys.run(id), queryFn: ({ signal }) => api.get<Run>(`/v1/runs/${id}`, signal) });

export const timelineQuery = (id: string) =>
  queryOptions({
    queryKey: ["timeline", id],
    queryFn: ({ signal }) => api.get<Timeline>(`/v1/runs/${id}/timeline`, signal),
  });

export const runsQuery = infiniteQueryOptions({
  queryKey: keys.runs,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Run>>(`/v1/runs${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
});

export const assetsQuery = infiniteQueryOptions({
  queryKey: keys.assets,
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Asset>>(`/v1/assets${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
});

export const assetQuery = (id: string) =>
  queryOptions({ queryKey: keys.asset(id), queryFn: ({ signal }) => api.get<Asset>(`/v1/assets/${id}`, signal) });

export const balanceQuery = queryOptions({
  queryKey: keys.balance,
  queryFn: ({ signal }) => api.get<Balance>("/v1/billing/balance", signal),
  staleTime: 5_000,
});
export const plansQuery = queryOptions({
  queryKey: ["plans"],
  queryFn: ({ signal }) => api.get<Page<Plan>>("/v1/billing/plans", signal),
});
export const subscriptionQuery = queryOptions({
  queryKey: ["subscription"],
  queryFn: ({ signal }) => api.get<Subscription>("/v1/billing/subscription", signal),
});
export const transactionsQuery = infiniteQueryOptions({
  queryKey: ["transactions"],
  queryFn: ({ pageParam, signal }) =>
    api.get<Page<Transaction>>(`/v1/billing/transactions${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
});
export const ledgerQuery = queryOptions({
  queryKey: ["ledger-check"],
  queryFn: ({ signal }) => api.get<LedgerCheck>("/v1/billing/ledger-check", signal),
  refetchInterval: LEDGER_REFRESH_MS,
  retry: false,
});

export const membersQuery = queryOptions({
  queryKey: keys.members,
  queryFn: ({ signal }) => api.get<Page<Member>>("/v1/identity/members", signal),
});
export const invitationsQuery = queryOptions({
  queryKey: keys.invitations,
  queryFn: ({ signal }) => api.get<Page<Invitation>>("/v1/identity/invitations", signal),
  retry: false,
});
export const mandatesQuery = queryOptions({
  queryKey: keys.mandates,
  queryFn: ({ signal }) => api.get<Page<Mandate>>("/v1/mandates", signal),
});
export const apiKeysQuery = queryOptions({
  queryKey: keys.apiKeys,
  queryFn: ({ signal }) => api.get<Page<ApiKey>>("/v1/identity/api-keys", signal),
});

export const fleetQuery = queryOptions({
  queryKey: ["fleet"],
  queryFn: ({ signal }) => api.get<Fleet>("/v1/fleet", signal),
  refetchInterval: FLEET_REFRESH_MS,
  retry: false,
});

export const metricsQuery = queryOptions({
  queryKey: ["metrics"],
  queryFn: ({ signal }) => api.get<Page<MetricSummary>>("/v1/metrics", signal),
  retry: false,
});
export const metricQuery = (name: string, from: string, to: string) =>
  queryOptions({
    queryKey: ["metric", name, from, to],
    queryFn: ({ signal }) => api.get<Metric>(`/v1/metrics/${name}${query({ from, to })}`, signal),
    retry: false,
  });
export const metricRowsQuery = (name: string, date: string) =>
  queryOptions({
    queryKey: ["metric-rows", name, date],
    queryFn: ({ signal }) => api.get<MetricRows>(`/v1/metrics/${name}/rows${query({ date, limit: 100 })}`, signal),
    retry: false,
  });
