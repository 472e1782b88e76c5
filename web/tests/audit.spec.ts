import { expect, test, type Page } from "@playwright/test";
import { newEmail, signUp } from "./studio";

const ADA = "Ada Oyelaran";
const LI = "Li Wenzhao";
/** More than a page of the log. */
const PROJECTS = 65;

async function api(page: Page, path: string, data: object): Promise<{ token: string }> {
  const answer = await page.request.post(path, { data });
  expect(answer.ok(), await answer.text()).toBe(true);
  return (await answer.json()) as { token: string };
}

/** Somebody who has joined the organisation of this page's owner. */
async function joined(owner: Page, role: string): Promise<Page> {
  const email = newEmail();
  const { token } = await api(owner, "/v1/identity/invitations", { email, role });
  const page = await (await owner.context().browser()?.newContext())?.newPage();
  if (!page) throw new Error("no browser");
  await signUp(page, LI, email);
  await page.goto(`/join?token=${encodeURIComponent(token)}`);
  await page.getByRole("button", { name: /Join as/ }).click();
  await expect(page).toHaveURL(/\/studio/);
  return page;
}

test("the log says in sentences who changed what, by kind and by person", async ({ page }) => {
  await signUp(page, ADA);
  await api(page, "/v1/identity/api-keys", { name: "Nightly batch", scopes: ["assets:read"] });
  const li = await joined(page, "admin");
  await api(li, "/v1/identity/api-keys", { name: "Renders", scopes: [] });
  await page.goto("/studio");
  await page.getByRole("link", { name: "Audit log", exact: true }).click();
  const lines = page.getByRole("main").getByRole("listitem");
  for (const words of [
    `${ADA} founded the organisation.`,
    `${ADA} invited somebody as admin.`,
    `${LI} joined as admin.`,
    `${ADA} made the API key “Nightly batch” (look at Library).`,
    `${LI} made the API key “Renders” (everything).`,
  ]) {
    await expect(lines.filter({ hasText: words })).toHaveCount(1);
  }

  await page.getByLabel("What").selectOption("API keys");
  await expect(page).toHaveURL(/kind=api_key/);
  await expect(lines).toHaveCount(2);
  await page.getByLabel("Who").selectOption(LI);
  await expect(lines).toHaveCount(1);
  await expect(lines).toContainText("Renders");
  await page.reload();
  await expect(lines).toHaveCount(1);
  await page.getByLabel("What").selectOption("Invoices");
  await expect(page.getByRole("heading", { name: "Nothing like this was logged" })).toBeVisible();
  await page.getByRole("button", { name: "Show everything" }).click();
  await expect(page).toHaveURL(/\/audit$/);
  await expect(lines.filter({ hasText: "founded the organisation" })).toHaveCount(1);
  await li.context().close();
});

test("a long log goes on, page by page, to its first line", async ({ page }) => {
  await signUp(page, ADA);
  for (let at = 0; at < PROJECTS; at += 1) await api(page, "/v1/identity/projects", { name: `Project ${at}` });
  await page.goto("/audit");
  const lines = page.getByRole("main").getByRole("listitem");
  await expect(lines.first()).toContainText(`began “Project ${PROJECTS - 1}”.`);
  const founded = lines.filter({ hasText: "founded the organisation" });
  await expect(founded).toHaveCount(0);
  await page.getByRole("button", { name: "Earlier lines" }).click();
  await expect(founded).toHaveCount(1);
  await expect(page.getByRole("button", { name: "Earlier lines" })).toHaveCount(0);
});

test("on a phone no part of a line covers another", async ({ page }) => {
  await signUp(page, ADA);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto("/audit");
  const line = page.getByRole("main").getByRole("listitem").filter({ hasText: "founded the organisation" });
  await expect(line).toBeVisible();
  // Of the words themselves: a part that is too narrow lets its words run over the next.
  const parts = await line.locator("> *").evaluateAll((all) =>
    all.map((one) => {
      const range = document.createRange();
      range.selectNodeContents(one);
      const { left, right, top, bottom } = (one.textContent ? range : one).getBoundingClientRect();
      return { left, right, top, bottom };
    }),
  );
  expect(parts).toHaveLength(4);
  for (const [at, a] of parts.entries()) {
    for (const b of parts.slice(at + 1)) {
      const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
      expect(apart, JSON.stringify([a, b])).toBe(true);
    }
  }
});

test("who does not manage people is told who reads it", async ({ page }) => {
  await signUp(page, ADA);
  const li = await joined(page, "member");
  await expect(li.getByRole("link", { name: "Billing", exact: true })).toBeVisible();
  await expect(li.getByRole("link", { name: "Audit log", exact: true })).toHaveCount(0);
  await li.goto("/audit");
  await expect(li.getByRole("heading", { name: "Owners and admins read this" })).toBeVisible();
  await li.getByRole("link", { name: "Who they are" }).click();
  await expect(li).toHaveURL(/\/team/);
  await li.context().close();
});

test("a log that cannot be read says why, and is asked for again", async ({ page }) => {
  await signUp(page, ADA);
  await page.route("**/v1/identity/audit*", (route) =>
    route.fulfill({ status: 503, json: { type: "", title: "Not now", status: 503, detail: "", code: "unavailable" } }),
  );
  await page.goto("/audit");
  await expect(page.getByRole("alert")).toContainText("Not now");
  await page.unroute("**/v1/identity/audit*");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByText(`${ADA} founded the organisation.`)).toBeVisible();
});
