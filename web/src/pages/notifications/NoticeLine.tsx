import { Link } from "react-router";
import type { Notification } from "../../api/notifications";
import { whoOf, type Notice } from "../../lib/notices";
import { Icon, When, type IconName } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import css from "./notifications.module.css";

const ICON: Record<string, IconName> = {
  like: "heart",
  comment: "comment",
  reply: "comment",
  follow: "person",
  remix: "remix",
  publish: "publish",
  moderated: "shield",
  removed: "shield",
  restored: "shield",
};

/** So much of a title is enough to know the work by; its picture stands beside it. */
const TITLE_CHARS_MAX = 60;
const shortened = (title: string) =>
  title.length > TITLE_CHARS_MAX ? `${title.slice(0, TITLE_CHARS_MAX - 1).trimEnd()}…` : title;

/** What happened, in one sentence. */
export function noticeSentence(notice: Notification, all: readonly Notification[] = [notice]): string {
  const who = whoOf(all);
  const many = all.length > 1;
  const what = notice.post_title ? `“${shortened(notice.post_title)}”` : "your post";
  switch (notice.kind) {
    case "like":
      return `${who} ${many ? "like" : "likes"} ${what}`;
    case "comment":
    case "reply":
      return `${who} said something about ${what}`;
    case "follow":
      return `${who} ${many ? "follow" : "follows"} you`;
    case "remix":
      return `${who} remixed ${what}`;
    case "publish":
    case "post":
      return `${who} published ${what}`;
    case "moderated":
    case "removed":
      return `${what.replace("your post", "A post of yours")} was taken down by moderation`;
    case "restored":
      return `${what.replace("your post", "A post of yours")} is on the wall again`;
    default:
      return notice.text ?? "Something happened";
  }
}

function addressOf(notice: Notification): string {
  if (notice.post_id) return `/community/${notice.post_id}`;
  return notice.actor ? `/people/${notice.actor.handle}` : "/notifications";
}

export function NoticeLine({ of, onOpen }: { of: Notice; onOpen?: () => void }) {
  const { first: notice, all } = of;
  const said = notice.kind === "comment" || notice.kind === "reply" || notice.kind === "removed" ? notice.text : null;
  return (
    <Link className={css.notice} to={addressOf(notice)} data-unread={!notice.read || undefined} onClick={onOpen}>
      <span className={css.who}>
        {notice.actor ? <Avatar of={notice.actor} size={36} /> : <i className={css.studio} />}
        <i className={css.kind}>
          <Icon name={ICON[notice.kind] ?? "bell"} size={12} />
        </i>
      </span>
      <span className={css.what}>
        <span>
          {!notice.read && <b className="sr-only">Unread: </b>}
          {noticeSentence(notice, all)}
        </span>
        {said && <q>{said}</q>}
        <small>
          <When at={notice.created_at} />
        </small>
      </span>
      {notice.preview_url && <img src={notice.preview_url} alt="" loading="lazy" />}
    </Link>
  );
}
