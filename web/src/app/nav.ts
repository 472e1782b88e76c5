import type { IconName } from "../ui/Icon";
import type { Session } from "./session";

export interface Place {
  to: string;
  label: string;
  icon: IconName;
  keys: string;
  staff?: boolean;
  /** Only for those who manage the organisation's people. */
  managers?: boolean;
  /** Has a tab of its own on a phone. */
  tab?: boolean;
}

export const WORK: readonly Place[] = [
  { to: "/studio", label: "Studio", icon: "studio", keys: "g s", tab: true },
  { to: "/boards", label: "Boards", icon: "board", keys: "g d", tab: true },
  { to: "/community", label: "Community", icon: "community", keys: "g c", tab: true },
  { to: "/tools", label: "Tools", icon: "tools", keys: "g o" },
  { to: "/library", label: "Library", icon: "library", keys: "g l", tab: true },
  { to: "/runs", label: "Runs", icon: "runs", keys: "g r" },
];
export const CONSOLE: readonly Place[] = [
  { to: "/team", label: "Team", icon: "team", keys: "g t" },
  { to: "/keys", label: "API keys", icon: "key", keys: "g k" },
  { to: "/billing", label: "Billing", icon: "billing", keys: "g b" },
  { to: "/audit", label: "Audit log", icon: "ledger", keys: "g a", managers: true },
];
export const OPERATION: readonly Place[] = [
  { to: "/moderation", label: "Moderation", icon: "shield", keys: "g m", staff: true },
  { to: "/numbers", label: "Numbers", icon: "numbers", keys: "g n", staff: true },
  { to: "/fleet", label: "Fleet", icon: "fleet", keys: "g f" },
];

/** Whether the server lets them read what everybody in the organisation did. */
export function manages({ organisation }: Pick<Session, "organisation">): boolean {
  return organisation.role === "owner" || organisation.role === "admin";
}

/** The places among these that this person has. */
export function placesOf(places: readonly Place[], session: Pick<Session, "staff" | "organisation">): Place[] {
  return places.filter((place) => (session.staff || !place.staff) && (manages(session) || !place.managers));
}
