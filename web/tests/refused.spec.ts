import { expect, test } from "@playwright/test";
import { newEmail, PASSWORD, signUp } from "./studio";

for (const [what, file] of [
  [
    "a text that calls itself a picture",
    { name: "portrait.png", mimeType: "image/png", buffer: Buffer.from("This is no picture at all.") },
  ],
  ["an empty file", { name: "empty.jpg", mimeType: "image/jpeg", buffer: Buffer.alloc(0) }],
] as const) {
  test(`${what} is refused, with a code that has a page`, async ({ page }) => {
    await signUp(page);
    await page.getByTestId("file").setInputFiles(file);
    const alert = page.getByRole("alert");
    await expect(alert).toBeVisible();
    const link = alert.getByRole("link");
    const address = await link.getAttribute("href");
    expect(address).toMatch(/\/docs\/errors\//);
    expect((await page.request.get(address ?? "")).status()).toBe(200);
    await expect(page.getByRole("button", { name: "Choose another" })).toBeVisible();
  });
}

test("a wrong password says so, and keeps the address", async ({ page }) => {
  const email = newEmail();
  await page.goto("/sign-in");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page.getByLabel("E-mail")).toHaveValue(email);
});

test("an address that is taken points at signing in", async ({ page, browser }) => {
  const email = await signUp(page);
  const other = await (await browser.newContext()).newPage();
  await other.goto("/sign-up");
  await other.getByLabel("Your name").fill("Somebody else");
  await other.getByLabel("E-mail").fill(email);
  await other.getByLabel("Password").fill(PASSWORD);
  await other.getByRole("button", { name: /Sign up/ }).click();
  await expect(other.getByRole("alert")).toBeVisible();
  await other.context().close();
});

test("another tenant’s run and picture are not there", async ({ page }) => {
  await signUp(page);
  await page.goto("/runs/01935f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa");
  await expect(page.getByRole("heading", { name: "There is no such run here" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Your runs" })).toBeVisible();
  await page.goto("/studio?asset=01935f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa");
  await expect(page.getByRole("alert").first()).toBeVisible();
  await expect(page.getByRole("button", { name: "Choose a photograph" })).toBeVisible();
});

test("who is not signed in comes back to where they wanted to go", async ({ page }) => {
  const email = await signUp(page);
  await page.context().clearCookies();
  await page.goto("/billing");
  await expect(page).toHaveURL(/sign-in\?to=/);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(/\/billing/);
});
