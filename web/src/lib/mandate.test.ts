import { expect, test } from "vitest";
import type { Mandate } from "../api/types";
import { countBelow, countEnded, mandateSentence, mandateTree } from "./mandate";

const NOW = "2026-11-23T10:00:00Z";
const mandate = (change: Partial<Mandate>): Mandate => ({
  id: "m1",
  parent_id: null,
  organisation_id: "o1",
  grantor_id: "u1",
  grantee_id: "u1",
  project_id: null,
  actions: ["*"],
  tools: null,
  max_unit_price_micro: null,
  envelope: { mode: "unlimited", amount_micro: null, period: "life", used_micro: 0, left_micro: null, paid_by: null },
  depth: 0,
  depth_max: 0,
  not_before: NOW,
  expires_at: null,
  share_bps: 0,
  state: "active",
  purpose: "",
  role: null,
  created_at: NOW,
  ended_at: null,
  ...change,
});

test("a mandate can be read aloud", () => {
  const given = mandate({
    actions: ["assets.*", "tools.run"],
    tools: ["upscale"],
    max_unit_price_micro: 1_000_000,
    envelope: {
      mode: "cap",
      amount_micro: 120_000_000,
      period: "month",
      used_micro: 0,
      left_micro: null,
      paid_by: null,
    },
    depth_max: 1,
    expires_at: "2026-12-03T12:00:00Z",
  });
  expect(mandateSentence(given, "Spring film")).toBe(
    "may run tools and bring in, see and delete pictures with up to 120 credits a month, shared in Spring film, " +
      "only with upscale, at most 1 credit at a time, and may hand it on once, until 3 Dec 2026",
  );
});

test("a mandate without an envelope of its own says nothing of credits", () => {
  expect(mandateSentence(mandate({ actions: ["assets.read"] }), null)).toBe("may see pictures");
});

test("what hangs under an ended mandate has ended too", () => {
  const tree = mandateTree([
    mandate({}),
    mandate({ id: "m2", parent_id: "m1", state: "revoked" }),
    mandate({ id: "m3", parent_id: "m2" }),
  ]);
  expect(tree).toHaveLength(1);
  expect(tree[0]?.children[0]?.children[0]).toMatchObject({ mandate: { id: "m3" }, live: false });
  expect(tree[0] && countBelow(tree[0])).toBe(0);
  expect(countEnded(tree)).toBe(2);
});

test("whoever does not see the parent sees their own mandate as the root", () => {
  expect(mandateTree([mandate({ id: "m9", parent_id: "unseen" })]).map((node) => node.mandate.id)).toEqual(["m9"]);
});
