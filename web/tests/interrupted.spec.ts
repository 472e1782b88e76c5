import { expect, test } from "@playwright/test";
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
