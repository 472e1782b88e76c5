import { readFile } from "node:fs/promises";
import { expect, test } from "@playwright/test";
import { PASSWORD, signIn, signUp } from "./studio";

test("one sees where one is signed in, and ends the others", async ({ page, browser }) => {
  const email = await signUp(page);
  const elsewhere = await (await browser.newContext()).newPage();
  await signIn(elsewhere, email, PASSWORD);
  await page.goto("/account");
  await expect(page.getByRole("row")).toHaveCount(3);
  await page.getByRole("button", { name: "End all others" }).click();
  await expect(page.getByRole("row")).toHaveCount(2);
  await elsewhere.reload();
  await expect(elsewhere).toHaveURL(/sign-in/);
  await elsewhere.context().close();
});

test("one takes one’s data along, and leaves", async ({ page }) => {
  const email = await signUp(page);
  await page.goto("/account");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Export" }).click(),
  ]);
  expect(await readFile(await download.path(), "utf8")).toContain(email);
  await page.getByRole("button", { name: "Delete the account" }).click();
  await page.getByRole("dialog").getByLabel("Your password").fill("not the password");
  await page.getByRole("button", { name: "Delete it for good" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toBeVisible();
  await page.getByRole("dialog").getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Delete it for good" }).click();
  await expect(page).toHaveURL(/sign-in/);
});

test("a key may only what its scopes name", async ({ page, playwright, baseURL }) => {
  await signUp(page);
  await page.goto("/keys?new=1");
  await page.getByLabel("Name").fill("Looks at the library");
  await page.getByRole("radio", { name: "only what is chosen here" }).check();
  await expect(page.getByRole("button", { name: "Make the key" })).toHaveAttribute("aria-disabled", "true");
  await page.getByRole("radio", { name: "Library: Look" }).check();
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = (await page.getByTestId("key").textContent())?.trim() ?? "";
  const program = await playwright.request.newContext({
    baseURL: baseURL ?? "",
    extraHTTPHeaders: { authorization: `Bearer ${key}` },
  });
  expect((await program.get("/v1/assets")).status()).toBe(200);
  expect((await program.get("/v1/billing/balance")).status()).toBe(403);
  expect((await program.post("/v1/assets", { data: {} })).status()).toBe(403);
  await page.getByRole("button", { name: "I have it" }).click();
  await expect(page.getByRole("row", { name: /Looks at the library.*look at Library/ })).toBeVisible();
  await program.dispose();
});
