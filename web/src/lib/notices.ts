import type { Notification } from "../api/notifications";

/** Kinds that say the same of each who does it: one line for all of them. */
const ALIKE: ReadonlySet<string> = new Set(["like", "follow"]);

/** Several that say the same: likes of one work, new followers. The newest comes first and stands for all. */
export interface Notice {
  first: Notification;
  all: readonly Notification[];
}

/** One line for what is alike, where its newest is; a line that was not read does not hide among those that were. */
export function together(items: readonly Notification[]): Notice[] {
  const lines = new Map<string, Notification[]>();
  for (const item of items) {
    const key = ALIKE.has(item.kind) ? `${item.kind} ${item.post_id ?? ""} ${item.read}` : item.id;
    const line = lines.get(key);
    if (!line) lines.set(key, [item]);
    else if (!line.some((one) => one.actor?.handle === item.actor?.handle)) line.push(item);
  }
  return [...lines.values()].flatMap((all) => (all[0] ? [{ first: all[0], all }] : []));
}

/** "Ada", "Ada and Bo", "Ada, Bo and 3 others". */
export function whoOf(all: readonly Notification[]): string {
  const [first = "Somebody", second = "Somebody"] = all.map((one) => one.actor?.name ?? "Somebody");
  if (all.length <= 1) return first;
  if (all.length === 2) return `${first} and ${second}`;
  const others = all.length - 2;
  return `${first}, ${second} and ${others === 1 ? "1 other" : `${others} others`}`;
}
