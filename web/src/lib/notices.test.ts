import { expect, test } from "vitest";
import type { Notification } from "../api/notifications";
import { together, whoOf } from "./notices";

let count = 0;
const notice = (kind: string, who: string, more: Partial<Notification> = {}) =>
  ({
    id: `n${(count += 1)}`,
    kind,
    actor: { handle: who.toLowerCase(), name: who, avatar_url: null },
    post_id: "p",
    read: false,
    ...more,
  }) as unknown as Notification;

test("likes of one work are one line, comments are not", () => {
  const lines = together([
    notice("like", "Ada"),
    notice("comment", "Ada"),
    notice("like", "Bo"),
    notice("like", "Cai", { post_id: "q" }),
    notice("comment", "Bo"),
    notice("like", "Dee"),
  ]);
  expect(lines.map(({ first, all }) => `${first.kind}: ${whoOf(all)}`)).toEqual([
    "like: Ada, Bo and 1 other",
    "comment: Ada",
    "like: Cai",
    "comment: Bo",
  ]);
});

test("who did it twice is named once, and what is new stands apart", () => {
  const lines = together([
    notice("follow", "Ada", { post_id: null }),
    notice("follow", "Ada", { post_id: null }),
    notice("follow", "Bo", { post_id: null }),
    notice("follow", "Cai", { post_id: null, read: true }),
  ]);
  expect(lines.map(({ all }) => whoOf(all))).toEqual(["Ada and Bo", "Cai"]);
});
