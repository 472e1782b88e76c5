import { expect, test } from "vitest";
import type { Mandate } from "../api/types";
import { countBelow, mandateSentence, mandateTree } from "./mandate";

const mandate = (change: Partial<Mandate>): Mandate => ({
  id: "m1",
  parent_id: null,
  grantor_id: null,
  grantee_id: "u1",
  project_id: null,
  actions: ["*"],
  tools: null,
  max_unit_price_micro: null,
  envelope: null,
  depth_max: 0,
  expires_at: null,
  state: "active",
  purpose: "",
  created_at: "2026-11-23T10:00:00Z",
  ...change,
});

test("a mandate can be read aloud", () => {
  const given = mandate({
    actions: ["tools.run", "assets.*"],
    tools: ["upscale"],
    max_unit_price_micro: 1_000_000,
    envelope: { amount_micro: 120_000_000, mode: "cap", period: "month" },
    depth_max: 1,
    expires_at: "2026-12-03T12:00:00Z",
  });
  expect(mandateSentence(given, "Spring film")).toBe(
    "may run tools and bring in, see and delete pictures with up to 120 credits a month, shared in Spring film, " +
      "only with upscale, at most 1 credit at a time, and may hand it on once, until 3 Dec 2026",
  );
});

test("the tree is the same from a flat list and from a nested one", () => {
  const child = mandate({ id: "m2", parent_id: "m1" });
  const grandchild = mandate({ id: "m3", parent_id: "m2", state: "revoked" });
  const flat = mandateTree([mandate({}), child, grandchild]);
  expect(flat).toHaveLength(1);
  expect(flat[0]?.children[0]?.children[0]?.mandate.id).toBe("m3");
  expect(flat[0] && countBelow(flat[0])).toBe(1);
  expect(mandateTree([{ ...mandate({}), children: [{ ...child, children: [grandchild] }] }])).toHaveLength(1);
});

test("whoever does not see the parent sees their own mandate as the root", () => {
  expect(mandateTree([mandate({ id: "m9", parent_id: "unseen" })]).map((node) => node.mandate.id)).toEqual(["m9"]);
});
