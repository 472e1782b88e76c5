import AxeBuilder from "@axe-core/playwright";
import { expect, test, type Page } from "@playwright/test";
import { bring, publish, word } from "./community";
import { bringPhoto, pricedButton, signIn, signUp, STAFF } from "./studio";

const PAGES = [
  ...["/studio", "/studio?tool=narrate", "/library", "/library?publish=1", "/runs", "/tools", "/tools/upscale"],
  ...["/community", "/community?q=nothinghasthisname", "/community?feed=following", "/people/nobody_here", "/profile"],
  ...["/community/01935f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa", "/notifications", "/account", "/moderation", "/tools/import"],
  ...["/team", "/keys", "/keys?new=1", "/billing", "/audit", "/audit?kind=invoice", "/fleet", "/numbers", "/nowhere"],
];
/** What only who runs the studio sees. */
const OPERATION = [
  "/fleet",
  "/numbers",
  "/numbers/dau",
  "/numbers/dau?days=90",
  "/moderation",
  "/moderation?of=reviews",
  "/moderation?of=decided",
];
const WIDTHS = [
  { width: 390, height: 844 },
  { width: 1024, height: 768 },
  { width: 1440, height: 900 },
];

async function settled(page: Page) {
  await expect(page.getByRole("heading").first()).toBeAttached();
  await expect(page.getByRole("status").filter({ hasText: "…" })).toHaveCount(0);
}

async function violations(page: Page) {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found.map((one) => `${page.url()} ${one.id}: ${one.nodes.map((node) => node.target.join(" ")).join(" | ")}`);
}

/** A post of a name and a title of great length, and its author's page. */
async function published(page: Page): Promise<string[]> {
  const title = `${word()} and then once more with feeling so that the collar reads as cloth`;
  const post = await publish(page, await bring(page), title, ["night", "a-tag-of-quite-some-length"]);
  return [`/community/${post.id}`, `/people/${post.author.handle}`, "/community?feed=new"];
}

const PHONE = { width: 390, height: 844 };
const DESK = { width: 1440, height: 900 };

for (const [theme, size] of [
  ["dark", DESK],
  ["light", DESK],
  ["dark", PHONE],
  ["light", PHONE],
] as const) {
  test(`axe finds nothing, ${theme}, ${size.width} px wide`, async ({ page }) => {
    // Three dozen pages: on a machine that does much else beside, each takes seconds.
    test.slow();
    await page.setViewportSize(size);
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.addInitScript((name) => localStorage.setItem("backlot.theme", name), theme);
    await page.goto("/sign-up");
    await settled(page);
    expect(await violations(page)).toEqual([]);
    await signUp(page);
    await bringPhoto(page);
    await pricedButton(page, "Upscale");
    expect(await violations(page)).toEqual([]);
    const asset = new URL(page.url()).searchParams.get("asset");
    for (const path of [...PAGES, ...(await published(page))]) {
      await page.goto(path);
      await settled(page);
      expect.soft(await violations(page)).toEqual([]);
    }
    await page.goto(`/library/${asset}`);
    await settled(page);
    expect.soft(await violations(page)).toEqual([]);
    if (size === DESK) {
      await page.getByRole("button", { name: "Notifications" }).first().click();
      expect.soft(await violations(page)).toEqual([]);
      await page.keyboard.press("Escape");
    }
    await page.keyboard.press("Control+k");
    await expect(page.getByRole("dialog")).toBeVisible();
    expect.soft(await violations(page)).toEqual([]);
  });

  test(`axe finds nothing in the operator's pages, ${theme}, ${size.width} px wide`, async ({ page }) => {
    await page.setViewportSize(size);
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.addInitScript((name) => localStorage.setItem("backlot.theme", name), theme);
    await signIn(page, STAFF.email, STAFF.password);
    for (const path of OPERATION) {
      await page.goto(path);
      await settled(page);
      expect.soft(await violations(page)).toEqual([]);
      expect.soft(await sideways(page), path).toBeLessThanOrEqual(0);
    }
  });
}

/** By how many pixels a page is wider than its window. */
const sideways = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

test("no page scrolls sideways, at any width", async ({ page }) => {
  test.slow();
  await signUp(page, "Maximiliane Konstantinopolitanskaya-Featherstonehaugh");
  await bringPhoto(page);
  const studio = new URL(page.url());
  const community = await published(page);
  for (const size of WIDTHS) {
    await page.setViewportSize(size);
    for (const path of [...PAGES, ...community, studio.pathname + studio.search]) {
      await page.goto(path);
      await settled(page);
      expect.soft(await sideways(page), `${path} at ${size.width}`).toBeLessThanOrEqual(0);
    }
  }
});

test("everything can be reached by keys", async ({ page }) => {
  await signUp(page);
  await page.keyboard.press("g");
  await page.keyboard.press("b");
  await expect(page).toHaveURL(/\/billing/);
  await page.keyboard.press("Control+k");
  // Whoever knows their way does not wait for the field.
  await page.keyboard.type("team");
  await expect(page.getByRole("combobox")).toHaveValue("team");
  await expect(page.getByRole("option").first()).toContainText("Team");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/team/);
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);

  await page.goto("/studio");
  await expect(page.getByRole("button", { name: /Choose a photograph/ })).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the page" })).toBeFocused();
});

test("the theme and the page’s place survive a reload", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  const address = page.url();
  await page.getByRole("button", { name: /account and organisation/ }).click();
  await page.getByRole("menuitem", { name: "Light theme" }).click();
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
  expect(page.url()).toBe(address);
  await expect(page.getByRole("navigation", { name: "Takes" })).toContainText("rocket.jpg");
});
