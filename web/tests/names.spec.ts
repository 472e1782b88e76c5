import { expect, test } from "@playwright/test";
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
