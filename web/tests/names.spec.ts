import { expect, test } from "@playwright/test";
import { addTool, bringToBoard } from "./boards";
import { bringPhoto, signUp } from "./studio";

test("under another name than the public one, pictures come and go all the same", async ({ browser, baseURL }) => {
  const other = new URL(baseURL ?? "");
  other.hostname = other.hostname === "localhost" ? "127.0.0.1" : "localhost";
  const page = await (await browser.newContext({ baseURL: other.origin })).newPage();
  await signUp(page);
  await bringPhoto(page);
  const picture = page.getByRole("navigation", { name: "Takes" }).locator("img").first();
  await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
  await page.context().close();
});

test("served without TLS, where browsers hide some of what they can do, a board is made and can be run", async ({
  page,
}) => {
  // As a page has it whose address is no loopback and no https.
  await page.addInitScript(() => {
    Object.defineProperty(Crypto.prototype, "randomUUID", { value: undefined });
    Object.defineProperty(Crypto.prototype, "subtle", { value: undefined });
    Object.defineProperty(Navigator.prototype, "clipboard", { value: undefined });
  });
  await signUp(page);
  await page.goto("/boards");
  await page.getByRole("button", { name: "Make the first board" }).click();
  await expect(page.getByRole("heading", { name: "An empty board" })).toBeVisible();
  await bringToBoard(page);
  await addTool(page, "Upscale");
  await expect(page.getByTestId("run-board")).toHaveText(/Run 1 stale\s*[\d.]+ credits?/);
  await page.getByRole("button", { name: "Storyboard" }).click();
  await page.getByRole("button", { name: "Put rocket.jpg in the film" }).click();
  await page.getByRole("button", { name: "Film", exact: true }).click();
  await expect(page.getByRole("button", { name: /Export the film · [\d.]+ credits?/ })).toBeVisible();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Share" }).click();
  await page.getByRole("button", { name: "Make a link" }).click();
  await expect(page.getByLabel("The link")).toHaveValue(/\/boards\/join/);
});
