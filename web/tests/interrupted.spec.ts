import { expect, test } from "@playwright/test";
import { bring, publish } from "./community";
import { heldStudio } from "./held";
import { bringPhoto, PHOTO, pricedButton, signUp } from "./studio";

interface Assets {
  items: { id: string; state: string }[];
}

test("a canceled upload leaves nothing behind", async ({ page }) => {
  await signUp(page);
  // The bytes never arrive: as on a line that hangs.
  await page.route("**/v1/objects/**", () => undefined);
  await page.getByTestId("file").setInputFiles(PHOTO);
  await expect(page.getByText(/Sending/)).toBeVisible();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByRole("button", { name: /Choose a photograph/ })).toBeVisible();
  await expect
    .poll(async () =>
      ((await (await page.request.get("/v1/assets")).json()) as Assets).items.filter((one) => one.state !== "deleted"),
    )
    .toEqual([]);
});

test("a run is followed to its end while its stream is cut off", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  await page.route("**/v1/runs/*/events", (route) => route.abort());
  await (await pricedButton(page, "Upscale")).click();
  await expect(page.getByRole("slider", { name: /Compare/ })).toBeVisible({ timeout: 60_000 });
});

test("a server that does not answer is said, and asked again", async ({ page }) => {
  await signUp(page);
  await page.route("**/v1/billing/balance", (route) => route.abort());
  await page.goto("/billing");
  const alert = page.getByRole("alert").filter({ hasText: "did not answer" });
  await expect(alert).toBeVisible();
  await page.unroute("**/v1/billing/balance");
  await alert.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByText("500 of 500 left")).toBeVisible();
});

test("what is deleted can be had back for a moment, then is gone", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  await page.goto("/library");
  const tile = page.getByRole("link", { name: /^rocket\.jpg/ });
  await tile.hover();
  await page.getByRole("button", { name: "Delete rocket.jpg" }).click();
  await expect(tile).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(tile).toBeVisible();

  await page.getByRole("button", { name: "Delete rocket.jpg" }).click();
  await expect(tile).toHaveCount(0);
  await expect
    .poll(async () =>
      ((await (await page.request.get("/v1/assets")).json()) as Assets).items.filter((one) => one.state === "ready"),
    )
    .toEqual([]);
  await page.reload();
  await expect(page.getByText("Nothing is here yet")).toBeVisible();
});

test("what one does in the moment one leaves is done", async ({ page, browser, baseURL }) => {
  await signUp(page);
  const post = await publish(page, await bring(page), "Rocket at dawn");
  const held = await heldStudio(new URL(baseURL ?? "").origin);
  try {
    const fan = await (await browser.newContext({ baseURL: held.url })).newPage();
    await signUp(fan, "Fan Adeyemi");
    const mine = await bring(fan);
    await fan.goto(`/community/${post.id}`);
    const like = fan.getByRole("button", { name: /^Like/ });
    await expect(like).toBeVisible();
    held.hold();
    await like.click();
    await expect.poll(held.waiting).toBeGreaterThan(0);
    await fan.goto("about:blank");
    held.release();
    const seen = async () => (await (await fan.request.get(`/v1/posts/${post.id}`)).json()) as { liked: boolean };
    await expect.poll(async () => (await seen()).liked).toBe(true);

    // Deleted, as the page says, while it can still be undone: it is, also where nobody waits for it.
    await fan.goto("/library");
    await fan.getByRole("link", { name: /^rocket\.jpg/ }).hover();
    held.hold();
    await fan.getByRole("button", { name: "Delete rocket.jpg" }).click();
    await expect(fan.getByRole("button", { name: "Undo" })).toBeVisible();
    await fan.goto("about:blank");
    await expect.poll(held.waiting).toBeGreaterThan(0);
    held.release();
    const state = async () => ((await (await fan.request.get(`/v1/assets/${mine}`)).json()) as { state: string }).state;
    await expect.poll(state).toBe("deleted");
    await fan.context().close();
  } finally {
    await held.close();
  }
});

test("an order whose answer was lost is one order", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  let lost = 0;
  await page.route("**/v1/runs", async (route) => {
    if (route.request().method() !== "POST" || lost > 0) return route.continue();
    lost += 1;
    // The server takes the order; the line breaks before its answer.
    await route.fetch();
    await route.abort();
  });
  await (await pricedButton(page, "Upscale")).click();
  await expect(page.getByRole("alert")).toContainText("did not answer");
  await (await pricedButton(page, "Upscale")).click();
  await expect(page.getByRole("slider", { name: /Compare/ })).toBeVisible({ timeout: 60_000 });
  const runs = (await (await page.request.get("/v1/runs")).json()) as { items: unknown[] };
  expect(runs.items).toHaveLength(1);
});
