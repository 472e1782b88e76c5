import { expect, test, type Page } from "@playwright/test";
import { bring, publish, word } from "./community";
import { bringPhoto, pricedButton, signUp } from "./studio";

async function another(page: Page, name: string): Promise<Page> {
  const other = await page
    .context()
    .browser()
    ?.newContext({ viewport: { width: 1440, height: 900 } });
  if (!other) throw new Error("no browser");
  const theirs = await other.newPage();
  await signUp(theirs, name);
  return theirs;
}

test("one makes and publishes, another finds it, follows, likes and comments", async ({ page }) => {
  const title = `Gantry ${word()}`;
  await test.step("Ada makes something in the studio", async () => {
    await signUp(page, "Ada Oyelaran");
    await bringPhoto(page);
    await (await pricedButton(page, "Upscale")).click();
    await expect(page.getByRole("slider", { name: /Compare/ })).toBeVisible({ timeout: 60_000 });
  });
  await test.step("she reads what is shared before she shares it", async () => {
    await page.getByRole("button", { name: "Publish" }).click();
    const dialog = page.getByRole("dialog", { name: "Publish" });
    await expect(dialog.getByText("Everybody who is signed in sees")).toBeVisible();
    await expect(dialog.getByText(/Ada Oyelaran, @/)).toBeVisible();
    await expect(dialog.getByRole("checkbox", { name: "The parameters" })).toBeChecked();
    await dialog.getByLabel("Title").fill(title);
    await dialog.getByLabel("Tags").fill("night, Rocket Launch,");
    await dialog.getByRole("button", { name: "Publish" }).click();
    await expect(page).toHaveURL(/\/community\//);
    await expect(page.getByRole("heading", { name: title })).toBeVisible();
    await expect(page.getByRole("link", { name: "rocket-launch" })).toBeVisible();
  });
  const li = await another(page, "Li Wenzhao");
  await test.step("Li finds it by its words", async () => {
    await li.goto("/community?feed=new");
    await expect(li.getByRole("heading", { name: "Community" })).toBeVisible();
    await li.keyboard.press("/");
    await li.keyboard.type(title);
    await expect(li).toHaveURL(/q=/);
    await li.getByRole("link", { name: new RegExp(`^${title}, picture by Ada Oyelaran`) }).click();
    await expect(li.getByRole("heading", { name: title })).toBeVisible();
  });
  await test.step("Li sees where it comes from", async () => {
    const made = li.getByRole("region", { name: "Provenance" });
    await expect(made.getByRole("link", { name: /Upscale/ })).toBeVisible();
    await expect(made.getByText("640 × 428")).toBeVisible();
    await expect(made.getByText("Scale", { exact: true })).toBeVisible();
  });
  await test.step("Li follows, likes and comments", async () => {
    await li.getByRole("button", { name: "Follow Ada Oyelaran" }).click();
    await expect(li.getByRole("button", { name: "Follow Ada Oyelaran" })).toHaveText("Following");
    const like = li.getByRole("button", { name: "Like", exact: true });
    await like.click();
    await expect(like).toHaveAttribute("aria-pressed", "true");
    await expect(like).toContainText("1");
    await li.getByLabel("Say something about it").fill("The trusses are unreal.");
    await li.keyboard.press("Control+Enter");
    await expect(li.getByRole("region", { name: "Comments" }).getByRole("listitem")).toContainText(
      "The trusses are unreal.",
    );
    await li.reload();
    await expect(like).toHaveAttribute("aria-pressed", "true");
    await expect(li.getByText("1 comment")).toBeVisible();
  });
  await test.step("what Ada publishes hangs on the wall of whom Li follows", async () => {
    await li.goto("/community?feed=following");
    await expect(li.getByRole("link", { name: new RegExp(title) })).toBeVisible();
  });
  await test.step("Ada reads it", async () => {
    await page.reload();
    await expect(page.getByText("The trusses are unreal.")).toBeVisible();
    await page
      .getByRole("link", { name: /Ada Oyelaran/ })
      .first()
      .click();
    await expect(page.getByText("1 post · 1 follower")).toBeVisible();
  });
  await li.context().close();
});

test("a like that the server refuses is taken back", async ({ page }) => {
  await signUp(page);
  const post = await publish(page, await bring(page), `Steam ${word()}`);
  await page.goto(`/community/${post.id}`);
  await page.route("**/like", (route) =>
    route.fulfill({ status: 429, json: { type: "", title: "Slower", status: 429, detail: "", code: "rate_limited" } }),
  );
  const like = page.getByRole("button", { name: "Like", exact: true });
  await like.click();
  await expect(page.getByText("Slower")).toBeVisible();
  await expect(like).toHaveAttribute("aria-pressed", "false");
  await expect(like).toContainText("0");
});

test("the wall goes on as one scrolls, stays in reading order, and is walked by arrows", async ({ page }) => {
  await signUp(page);
  const tag = word();
  const asset = await bring(page);
  for (let index = 0; index < 45; index += 1) await publish(page, asset, `Take ${index}`, [tag]);
  await page.goto(`/community?feed=new&tag=${tag}`);
  const first = page.getByRole("link", { name: /^Take 44,/ });
  await expect(first).toBeVisible();
  await first.focus();
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("link", { name: /^Take 43,/ })).toBeFocused();
  await page.keyboard.press("ArrowDown");
  const below = page.locator("li:focus-within");
  const [from, to] = [
    await page
      .getByRole("listitem")
      .filter({ has: page.getByRole("link", { name: /^Take 43,/ }) })
      .boundingBox(),
    await below.boundingBox(),
  ];
  expect((to?.y ?? 0) - (from?.y ?? 0)).toBeGreaterThan(50);

  // What stands first in the page stands first on the screen: row by row, from the left.
  const places = await page.locator("main ul[aria-label^=Work] > li").evaluateAll((tiles) =>
    tiles.map((tile) => {
      const box = tile.getBoundingClientRect();
      return [Math.round(box.top), Math.round(box.left)] as const;
    }),
  );
  for (const [index, [top, left]] of places.entries()) {
    const before = places[index - 1];
    if (before) expect(top > before[0] || (Math.abs(top - before[0]) <= 1 && left > before[1])).toBe(true);
  }
  await expect(async () => {
    await page.mouse.wheel(0, 4_000);
    await expect(page.getByRole("link", { name: /^Take 0,/ })).toBeVisible({ timeout: 500 });
  }).toPass();
  await expect(page.getByText("That is all of it.")).toBeVisible();
});

test("what one mutes or blocks is gone, until one undoes it", async ({ page }) => {
  await signUp(page, "Ada Oyelaran");
  const title = `Deep field ${word()}`;
  const post = await publish(page, await bring(page), title);
  const li = await another(page, "Li Wenzhao");
  await li.goto(`/community/${post.id}`);
  await li.getByRole("button", { name: "More about this post" }).click();
  const told = li.waitForResponse((answer) => answer.url().endsWith("/mute"));
  await li.getByRole("menuitem", { name: /Mute @/ }).click();
  await expect(li).toHaveURL(/\/community$/);
  await told;
  await li.goto(`/people/${post.author.handle}`);
  await expect(li.getByRole("heading", { name: "You have muted them" })).toBeVisible();
  await li.getByRole("button", { name: /Unmute/ }).click();
  await expect(li.getByRole("link", { name: new RegExp(title) })).toBeVisible();
  await li.getByRole("button", { name: /^More about/ }).click();
  await li.getByRole("menuitem", { name: /Block @/ }).click();
  await expect(li.getByRole("heading", { name: "You have blocked them" })).toBeVisible();
  await li.context().close();
});

test("a profile is edited, and its handle is everybody’s only once", async ({ page }) => {
  await signUp(page, "Maximiliane Konstantinopolitanskaya-Featherstonehaugh");
  const handle = word().slice(0, 20);
  await page.goto("/profile");
  await page.getByLabel("Handle").fill(handle);
  await page.getByLabel("About you").fill("Light, mostly.");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page).toHaveURL(new RegExp(`/people/${handle}`));
  await expect(page.getByText("Light, mostly.")).toBeVisible();
  const li = await another(page, "Li Wenzhao");
  await li.goto("/profile");
  await li.getByLabel("Handle").fill(handle);
  await li.getByRole("button", { name: "Save" }).click();
  await expect(li.getByRole("alert")).toContainText("handle_taken");
  await li.context().close();
});

test("what was published can be changed and taken down", async ({ page }) => {
  await signUp(page);
  const post = await publish(page, await bring(page), `Rooftop ${word()}`);
  await page.goto(`/community/${post.id}`);
  await page.getByRole("button", { name: "More about this post" }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  await page.getByLabel("Title").fill("Rooftop, graded");
  await page.getByRole("checkbox", { name: "Others may remix it" }).uncheck();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("heading", { name: "Rooftop, graded" })).toBeVisible();
  await page.getByRole("button", { name: "More about this post" }).click();
  await page.getByRole("menuitem", { name: "Take it down" }).click();
  await expect(page.getByText(/is being taken down/)).toBeVisible();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.goto(`/community/${post.id}`);
  await expect(page.getByRole("heading", { name: "Rooftop, graded" })).toBeVisible();
});
