import { expect, test } from "vitest";
import type { AuditRow, DecisionRow } from "../../api/audit";
import { auditSentence, decisionSentence, type Names } from "./sentences";

const ADA = "01a20b37-d7ba-7090-b0e1-8e020206e26a";
const LI = "01a20b38-50b7-7252-b032-a8c5d017b6b9";
const GONE = "01a20b38-0000-7000-8000-0000000gone1";
const HERE = "01a20b37-d7ba-7090-b0e1-8e03627a0d99";

const names: Names = {
  person: (id) => ({ [ADA]: "Ada", [LI]: "Li" })[id] ?? null,
  key: (id) => (id === "key" ? "Nightly" : null),
  project: (id) => (id === "project" ? "First project" : null),
  organisation: HERE,
};

function says(action: string, detail: Record<string, unknown>, actor = ADA, subject = "key"): string {
  return auditSentence({ id: "1", at: "2026-11-24T01:00:00Z", actor, action, subject, detail } as AuditRow, names);
}

test.each([
  ["membership.changed", { user_id: ADA, previous_role: null, role: "owner" }, "Ada joined as owner"],
  ["membership.changed", { user_id: LI, previous_role: null, role: "member" }, "Ada brought Li in as member"],
  ["membership.changed", { user_id: LI, previous_role: "member", role: "admin" }, "Ada made Li admin; before, member"],
  ["membership.changed", { user_id: LI, previous_role: "admin", role: null }, "Ada removed Li, who was admin"],
  ["membership.changed", { user_id: ADA, previous_role: "admin", role: null }, "Ada left; they were admin"],
  ["invitation.created", { role: "viewer" }, "Ada invited somebody as viewer"],
  ["api_key.created", { scopes: [] }, "Ada made the API key “Nightly” (everything)"],
  ["api_key.created", { scopes: ["assets:read"] }, "Ada made the API key “Nightly” (look at Library)"],
  ["mandate.given", { grantee_id: LI, amount_micro: 50_000_000 }, "Ada gave Li a mandate of up to 50 credits"],
  ["mandate.given", { grantee_id: LI, amount_micro: null }, "Ada gave Li a mandate"],
  ["mandate.revoked", { grantee_id: LI, amount_micro: 50_000_000 }, "Ada took the mandate of Li back"],
  ["session.started", { first: false }, "Ada signed in"],
  ["session.switched", { organisation_id: HERE }, "Ada came to work here"],
  ["session.ended", { reason: "sign_out" }, "Ada signed out"],
  ["something.new_here", {}, "Ada did “something new here”"],
])("%s %j reads: %s", (action, detail, words) => expect(says(action, detail)).toBe(words));

test("who is of the staff, or left, or is no person is called so", () => {
  const given = { amount_micro: 50_000_000, staff: true, reason: "a broken export" };
  expect(says("credits.granted", given, GONE)).toBe("The studio’s staff gave 50 credits: a broken export");
  expect(says("session.started", {}, GONE)).toBe("Somebody who left (000gone1) signed in");
  expect(says("user.password_changed", {}, "service:edge")).toBe("The studio itself changed their password");
});

test("a key that is gone is told by its id", () =>
  expect(says("api_key.revoked", {}, ADA, GONE)).toBe("Ada took the API key 000gone1 away"));

test("a decision says what, after how many reports, and why", () => {
  const row = (action: string, subject: string, detail: Record<string, unknown>) =>
    decisionSentence({ action, subject, actor_id: LI, detail } as DecisionRow, names.person);
  expect(row("moderation.remove", "post", { reports: 2, reason: "It is an advert.", before: "" })).toBe(
    "Li took a post down after 2 reports: It is an advert.",
  );
  expect(row("moderation.keep", "profile", { reports: 1, reason: "", before: "remove" })).toBe(
    "Li let a profile stay after 1 report, which overturns what was decided before",
  );
});
