import type { AuditRow, DecisionRow } from "../../api/audit";
import { creditWord, credits, humanise, plural, shortId } from "../../lib/format";
import type { IconName } from "../../ui/Icon";
import { scopeWords } from "../keys/scopes";

/** What a page knows by name; null: it does not know it. */
export interface Names {
  person: (id: string) => string | null;
  key: (id: string) => string | null;
  project: (id: string) => string | null;
  /** The organisation whose log it is. */
  organisation: string;
}

/** The kinds by which the log is read, as the server calls them. */
export const KINDS: readonly { kind: string; label: string; icon: IconName }[] = [
  { kind: "membership", label: "Members and roles", icon: "team" },
  { kind: "invitation", label: "Invitations", icon: "link" },
  { kind: "api_key", label: "API keys", icon: "key" },
  { kind: "mandate", label: "Mandates", icon: "shield" },
  { kind: "credits", label: "Credits by hand", icon: "billing" },
  { kind: "invoice", label: "Invoices", icon: "ledger" },
  { kind: "project", label: "Projects", icon: "board" },
  { kind: "organisation", label: "The organisation", icon: "group" },
  { kind: "user", label: "Accounts and passwords", icon: "person" },
  { kind: "session", label: "Sign-ins", icon: "out" },
];

export function auditIcon(row: AuditRow): IconName {
  return KINDS.find(({ kind }) => row.action.startsWith(`${kind}.`))?.icon ?? "ledger";
}

/** Who did it, as the log's reader would say it. */
function whoDid(row: AuditRow, names: Names): string {
  const name = names.person(row.actor);
  if (name) return name;
  if (row.actor.startsWith("service:")) return "The studio itself";
  return row.detail.staff === true ? "The studio’s staff" : someone(row.actor);
}

/** Somebody whose name is not known here any more, told apart by the end of their id. */
function someone(id: string): string {
  return `Somebody who left (${shortId(id)})`;
}

/** One change in one sentence, without its full stop. */
export function auditSentence(row: AuditRow, names: Names): string {
  return `${whoDid(row, names)} ${did(row, names)}`;
}

function did(row: AuditRow, names: Names): string {
  switch (row.action) {
    case "membership.changed":
      return membership(row, names);
    case "invitation.created":
      return `invited somebody as ${text(row.detail.role)}`;
    case "invitation.revoked":
      return "took an invitation back";
    case "invitation.accepted":
      return `accepted an invitation as ${text(row.detail.role)}`;
    case "api_key.created":
      return `made the API key ${keyName(row, names)} (${scopes(row.detail.scopes)})`;
    case "api_key.revoked":
      return `took the API key ${keyName(row, names)} away`;
    case "mandate.given":
      return `gave ${grantee(row, names)} a mandate${upTo(row)}`;
    case "mandate.revoked":
      return `took the mandate of ${grantee(row, names)} back`;
    case "project.created":
      return `began ${quoted(names.project(row.subject)) ?? "a project"}`;
    case "organisation.created":
      return "founded the organisation";
    case "organisation.closed":
      return "closed the organisation";
    case "user.created":
      return "opened their account";
    case "user.deleted":
      return "deleted their account";
    case "user.password_changed":
      return "changed their password";
    case "session.started":
      return row.detail.first === true ? "signed up" : "signed in";
    case "session.switched":
      return row.detail.organisation_id === names.organisation ? "came to work here" : "went to work elsewhere";
    case "session.ended":
      return ENDED[text(row.detail.reason)] ?? "had a session end";
    default:
      return byHand(row) ?? `did “${humanise(row.action.replace(".", " ")).toLowerCase()}”`;
  }
}

function grantee({ detail }: AuditRow, names: Names): string {
  const id = text(detail.grantee_id);
  return names.person(id) ?? someone(id);
}

function upTo({ detail }: AuditRow): string {
  const micro = detail.amount_micro;
  return typeof micro === "number" ? ` of up to ${credits(micro)} ${creditWord(micro)}` : "";
}

const ENDED: Record<string, string> = {
  sign_out: "signed out",
  ended_elsewhere: "ended one of their sessions from another",
  password_changed: "ended the sessions that had the old password",
  account_closed: "ended the sessions of a closed account",
  membership_ended: "ended the sessions of who is no member any more",
};

function membership({ actor, detail }: AuditRow, names: Names): string {
  const [before, after] = [detail.previous_role, detail.role];
  const self = detail.user_id === actor;
  const person = names.person(text(detail.user_id)) ?? someone(text(detail.user_id));
  if (!before) return self ? `joined as ${text(after)}` : `brought ${person} in as ${text(after)}`;
  if (!after) return self ? `left; they were ${text(before)}` : `removed ${person}, who was ${text(before)}`;
  return `made ${self ? "themselves" : person} ${text(after)}; before, ${text(before)}`;
}

/** What the platform's staff do with credits. */
function byHand({ action, detail }: AuditRow): string | null {
  const micro = typeof detail.amount_micro === "number" ? detail.amount_micro : 0;
  const amount = `${credits(micro)} ${creditWord(micro)}`;
  const why = text(detail.reason) ? `: ${text(detail.reason)}` : "";
  switch (action) {
    case "credits.granted":
      return `gave ${amount}${why}`;
    case "credits.revoked":
      return `took ${amount} back${why}`;
    case "credits.refunded":
      return `returned ${amount} of a run${why}`;
    case "invoice.marked_paid":
      return `wrote down that an invoice is paid${micro > 0 ? `, which brings ${amount}` : ""}`;
    default:
      return null;
  }
}

const DECIDED: Record<string, string> = {
  "moderation.keep": "let %s stay",
  "moderation.remove": "took %s down",
  "moderation.ban": "took %s down and banned its author",
};

/** A decision about a report in one sentence, without its full stop. */
export function decisionSentence(row: DecisionRow, person: Names["person"]): string {
  const what = row.subject === "profile" ? "a profile" : `a ${row.subject}`;
  const did = (DECIDED[row.action] ?? `decided “${humanise(row.action)}” about %s`).replace("%s", what);
  const reports = typeof row.detail.reports === "number" ? row.detail.reports : 0;
  const after = reports > 0 ? ` after ${plural(reports, "report", "reports")}` : "";
  const overturned = text(row.detail.before) ? ", which overturns what was decided before" : "";
  const why = text(row.detail.reason) ? `: ${text(row.detail.reason)}` : "";
  return `${person(row.actor_id) ?? `Staff ${shortId(row.actor_id)}`} ${did}${after}${overturned}${why}`;
}

function keyName(row: AuditRow, names: Names): string {
  return quoted(names.key(row.subject)) ?? shortId(row.subject);
}

function scopes(given: unknown): string {
  return scopeWords(Array.isArray(given) ? given.map(String) : []);
}

function quoted(name: string | null): string | null {
  return name === null ? null : `“${name}”`;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
