import { useInfiniteQuery } from "@tanstack/react-query";
import { notificationsQuery, unreadOf, useMarkRead, type Notification } from "../../api/notifications";
import { Page } from "../../app/Page";
import { dayName } from "../../lib/format";
import { together } from "../../lib/notices";
import { Button, ButtonLink, Empty, Loaded } from "../../ui";
import { NoticeLine } from "./NoticeLine";
import css from "./notifications.module.css";

/** What others did with one's work, by day. */
export default function Notifications() {
  const notices = useInfiniteQuery(notificationsQuery);
  const markRead = useMarkRead();
  const unread = unreadOf(notices.data);
  return (
    <Page
      title="Notifications"
      actions={
        unread > 0 && (
          <Button icon="check" onClick={markRead}>
            Mark {unread} as read
          </Button>
        )
      }
    >
      <Loaded of={notices} waiting="Fetching what happened…">
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items);
          if (items.length === 0) {
            return (
              <Empty
                title="Nothing has happened yet"
                actions={
                  <ButtonLink look="primary" to="/library?publish=1" icon="publish">
                    Publish something
                  </ButtonLink>
                }
              >
                When somebody likes, comments on or remixes what you publish, or follows you, it is said here.
              </Empty>
            );
          }
          return byDay(items).map(([day, of]) => (
            <section key={day} className={css.day} aria-label={day}>
              <h2>{day}</h2>
              <ul>
                {together(of).map((notice) => (
                  <li key={notice.first.id}>
                    <NoticeLine of={notice} />
                  </li>
                ))}
              </ul>
            </section>
          ));
        }}
      </Loaded>
      {notices.hasNextPage && (
        <Button
          onClick={() => void notices.fetchNextPage()}
          because={notices.isFetchingNextPage ? "They are being fetched" : null}
        >
          Earlier ones
        </Button>
      )}
    </Page>
  );
}

function byDay(items: Notification[]): [string, Notification[]][] {
  const days = new Map<string, Notification[]>();
  for (const item of items) {
    const day = dayName(item.created_at, Date.now());
    days.set(day, [...(days.get(day) ?? []), item]);
  }
  return [...days];
}
