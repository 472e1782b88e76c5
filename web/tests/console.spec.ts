import { expect, test } from "@playwright/test";
import { bringPhoto, newEmail, pricedButton, signIn, signUp, STAFF } from "./studio";

test("a key is shown once and works", async ({ page, playwright, baseURL }) => {
  await signUp(page);
  await page.goto("/keys");
  await page.getByRole("button", { name: "Make a key" }).first().click();
  await page.getByLabel("Name").fill("Nightly batch");
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = (await page.getByTestId("key").textContent())?.trim() ?? "";
  expect(key).toMatch(/^blk_/);
  const program = await playwright.request.newContext({
    baseURL: baseURL ?? "",
    extraHTTPHeaders: { authorization: `Bearer ${key}` },
  });
  const balance = await program.get("/v1/billing/balance");
  expect(balance.status()).toBe(200);
  expect(((await balance.json()) as { available_micro: number }).available_micro).toBe(500_000_000);
  await page.getByRole("button", { name: "I have it" }).click();
  await expect(page.getByRole("row", { name: /Nightly batch/ })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("row", { name: /Nightly batch/ })).toBeVisible();
  await expect(page.getByText(key)).toHaveCount(0);

  await page.getByRole("button", { name: "Take away Nightly batch" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.getByRole("row", { name: /Nightly batch/ })).toBeVisible();
  await program.dispose();
});

test("invite, give a part, read it aloud, take it back", async ({ page, browser }) => {
  await signUp(page, "Ada Oyelaran");
  await page.goto("/team");
  await expect(page.getByText("owns the organisation and all its credits")).toBeVisible();
  const email = newEmail();
  await page.getByRole("button", { name: "Invite somebody" }).click();
  await page.getByLabel("E-mail").fill(email);
  await page.getByRole("button", { name: "Make the link" }).click();
  const link = await page.getByLabel(`Link for ${email}`).inputValue();
  await page.getByRole("button", { name: "Done" }).click();

  const guest = await (await browser.newContext()).newPage();
  await signUp(guest, "Li Wenzhao", email);
  await guest.goto(new URL(link).pathname + new URL(link).search);
  await guest.getByRole("button", { name: /Join as Li Wenzhao/ }).click();
  await expect(guest).toHaveURL(/\/studio/);
  await guest.context().close();

  await page.reload();
  await expect(page.getByText("Li Wenzhao").first()).toBeVisible();
  await page.getByRole("button", { name: "Give a part of it" }).click();
  await page.getByLabel("Credits", { exact: true }).fill("40");
  await page.getByLabel("For", { exact: true }).fill("Teaser stills");
  await expect(page.getByText(/Li Wenzhao may run tools .* with 40 credits set aside/)).toBeVisible();
  await page.getByRole("button", { name: "Give 40 credits" }).click();
  await expect(page.getByText(/Li Wenzhao may run tools .*for “Teaser stills”/)).toBeVisible();

  await page.getByRole("button", { name: "Take back" }).click();
  await page.getByRole("button", { name: "Take it back" }).click();
  await expect(page.getByText(/for “Teaser stills”/)).toHaveCount(0);
  await page.getByRole("button", { name: /Show 1 that ended/ }).click();
  await expect(page.getByText(/for “Teaser stills”/)).toBeVisible();
});

test("a member without a budget reads why, gets one, and loses it again", async ({ page, browser }) => {
  await signUp(page, "Ada Oyelaran");
  const guest = await (await browser.newContext()).newPage();
  await test.step("the member joins, and may look but not spend", async () => {
    const email = newEmail();
    const answer = await page.request.post("/v1/identity/invitations", { data: { email, role: "member" } });
    const { token } = (await answer.json()) as { token: string };
    await signUp(guest, "Li Wenzhao", email);
    await guest.goto(`/join?token=${encodeURIComponent(token)}`);
    await guest.getByRole("button", { name: /Join as/ }).click();
    await expect(guest).toHaveURL(/\/studio/);
    await expect(guest.getByRole("button", { name: /^Ada Oyelaran.*account and organisation/ })).toBeVisible();
    await bringPhoto(guest);
    await expect(guest.getByTestId("run")).toHaveAttribute("aria-disabled", "true");
    await expect(guest.getByRole("link", { name: /ask whoever gave you yours/ })).toBeVisible();
  });
  await page.goto("/team");
  await page.getByRole("button", { name: "Give a part of it" }).click();
  await page.getByLabel("Credits", { exact: true }).fill("5");
  await page.getByLabel("For", { exact: true }).fill("A poster");
  await page.getByRole("button", { name: "Give 5 credits" }).click();
  await expect(page.getByText(/for “A poster”/)).toBeVisible();
  await test.step("now the button carries a price that can be paid", async () => {
    await guest.reload();
    await pricedButton(guest, "Upscale");
  });
  await page.getByRole("button", { name: "Take back" }).click();
  await page.getByRole("button", { name: "Take it back" }).click();
  await expect(page.getByText(/Taken back from Li Wenzhao/)).toBeVisible();
  await guest.reload();
  await expect(guest.getByRole("link", { name: /ask whoever gave you yours/ })).toBeVisible();
  await expect(guest.getByTestId("run")).toHaveAttribute("aria-disabled", "true");
  await guest.context().close();
});

test("billing shows the grant, and a plan waits for its invoice", async ({ page }) => {
  await signUp(page);
  await page.goto("/billing");
  await expect(page.getByText("500 of 500 left")).toBeVisible();
  await page.getByRole("button", { name: "Change to it" }).first().click();
  await expect(page.getByText("Waits for its invoice to be paid")).toBeVisible();
  await expect(page.getByText("Your plan")).toBeVisible();
});

test.describe("the operator", () => {
  test("a number opens: definition, SQL, who is left out, rows", async ({ page }) => {
    await signIn(page, STAFF.email, STAFF.password);
    await page.getByRole("link", { name: "Numbers", exact: true }).click();
    await page.getByRole("link", { name: /[Dd]aily active/ }).click();
    await expect(page).toHaveURL(/\/numbers\/dau/);
    await expect(page.getByLabel("definition", { exact: true })).toContainText("name: dau");
    await expect(page.getByLabel("SQL", { exact: true })).toContainText(/SELECT/i);
    await expect(page.getByText("Left out")).toBeVisible();
    await page.getByRole("slider", { name: /by day/ }).focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(/day=/);
    await expect(page.getByRole("heading", { name: /Rows of/ })).toBeVisible();
  });

  test("the ledger adds up, and the fleet says what it holds", async ({ page }) => {
    await signIn(page, STAFF.email, STAFF.password);
    await page.getByRole("link", { name: "Fleet", exact: true }).click();
    await expect(page.getByRole("region", { name: /Region/ }).first()).toBeVisible();
    await expect(page.getByText("connected", { exact: true }).first()).toBeVisible();
    await expect(page.getByText("Sums to zero")).toBeVisible();
    await expect(page.getByText("Chain verifies")).toBeVisible();
  });
});
