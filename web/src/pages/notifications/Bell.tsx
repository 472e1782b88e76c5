import * as Popover from "@radix-ui/react-popover";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { notificationsQuery, unreadOf, useLiveNotifications, useMarkRead } from "../../api/notifications";
import { together } from "../../lib/notices";
import { Button, Icon, ProblemView } from "../../ui";
import { NoticeLine, noticeSentence } from "./NoticeLine";
import css from "./notifications.module.css";

const SHOWN_MAX = 8;
const COUNT_MAX = 99;

/** The bell of the rail: how much is new, and the latest of it. */
export function Bell() {
  const [open, setOpen] = useState(false);
  const notices = useInfiniteQuery(notificationsQuery);
  const latest = useLiveNotifications();
  const markRead = useMarkRead();
  const unread = unreadOf(notices.data);
  const items = notices.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Popover.Root
      open={open}
      onOpenChange={(next) => {
        setOpen(next);
        // Seen is read, once one closes it: while it is open one still sees what was new.
        if (!next) markRead();
      }}
    >
      <Popover.Trigger
        className={css.bell}
        aria-label={unread > 0 ? `Notifications, ${unread} unread` : "Notifications"}
      >
        <Icon name="bell" size={18} />
        {unread > 0 && <b aria-hidden="true">{unread > COUNT_MAX ? `${COUNT_MAX}+` : unread}</b>}
      </Popover.Trigger>
      <span className="sr-only" role="log" aria-live="polite">
        {latest ? noticeSentence(latest) : ""}
      </span>
      <Popover.Portal>
        <Popover.Content
          className={css.popover}
          align="start"
          sideOffset={8}
          collisionPadding={12}
          aria-label="Latest notifications"
        >
          <header>
            <h2>Notifications</h2>
            <Link to="/notifications" onClick={() => setOpen(false)}>
              All of them
            </Link>
          </header>
          {notices.error && items.length === 0 ? (
            <ProblemView error={notices.error} onRetry={() => void notices.refetch()} />
          ) : items.length === 0 ? (
            <p className={css.none}>Likes, comments, follows and remixes come up here.</p>
          ) : (
            <ul>
              {together(items)
                .slice(0, SHOWN_MAX)
                .map((notice) => (
                  <li key={notice.first.id}>
                    <NoticeLine of={notice} onOpen={() => setOpen(false)} />
                  </li>
                ))}
            </ul>
          )}
          {unread > 0 && (
            <footer>
              <Button look="quiet" icon="check" onClick={markRead}>
                Mark all as read
              </Button>
            </footer>
          )}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
