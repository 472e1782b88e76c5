import { infiniteQueryOptions, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, query } from "./http";
import { socialKeys, type Author } from "./social";
import type { components } from "./schema";
import type { Exactly, Sent } from "./types";

type Schemas = components["schemas"];

export type Notification = Exactly<Sent<Schemas["NotificationView"]>, { actor: Author | null }>;
export type Notifications = Exactly<Schemas["NotificationList"], { items: Notification[] }>;
type Pages = InfiniteData<Notifications>;

const KEY = ["notifications"] as const;
const PAGE_SIZE = 50;
const POLL_WHILE_CUT_OFF_MS = 30_000;

export const notificationsQuery = infiniteQueryOptions({
  queryKey: KEY,
  queryFn: ({ pageParam, signal }) =>
    api.get<Notifications>(`/v1/notifications${query({ limit: PAGE_SIZE, before: pageParam })}`, signal),
  initialPageParam: null as string | null,
  getNextPageParam: (last) => last.next ?? null,
  staleTime: 30_000,
  retry: false,
});

export function unreadOf(pages: Pages | undefined): number {
  return pages?.pages[0]?.unread ?? 0;
}

/** Hears of what happens while the page is open. Answers the latest, for whoever does not see the bell. */
export function useLiveNotifications(): Notification | null {
  const client = useQueryClient();
  const [latest, setLatest] = useState<Notification | null>(null);
  useEffect(() => {
    const source = new EventSource("/v1/notifications/events");
    const hear = (event: MessageEvent<string>) => {
      const heard = JSON.parse(event.data) as Notification;
      setLatest(heard);
      void client.invalidateQueries({ queryKey: KEY });
      if (heard.post_id) void client.invalidateQueries({ queryKey: socialKeys.post(heard.post_id) });
      if (heard.post_id) void client.invalidateQueries({ queryKey: socialKeys.comments(heard.post_id) });
    };
    source.addEventListener("notification", hear as EventListener);
    // While the stream is cut off the list is asked for instead, now and then.
    const poll = setInterval(() => {
      if (source.readyState === EventSource.OPEN) return;
      void client.invalidateQueries({ queryKey: KEY });
    }, POLL_WHILE_CUT_OFF_MS);
    return () => {
      source.close();
      clearInterval(poll);
    };
  }, [client]);
  return latest;
}

/** Marks everything as read, at once; a refusal puts the marks back. */
export function useMarkRead(): () => void {
  const client = useQueryClient();
  return () => {
    const before = client.getQueryData<Pages>(KEY);
    if (unreadOf(before) === 0) return;
    client.setQueryData<Pages>(
      KEY,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({
            ...page,
            unread: 0,
            items: page.items.map((one) => ({ ...one, read: true })),
          })),
        },
    );
    api.post("/v1/notifications/read", {}).catch(() => client.setQueryData(KEY, before));
  };
}
