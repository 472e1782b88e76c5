import { readFile } from "node:fs/promises";
import { expect, test } from "@playwright/test";
import { bringPhoto, PHOTO_WIDTH, pngSize, pricedButton, signUp } from "./studio";

test("from sign-up to a larger picture, its story and its price", async ({ page }) => {
  await signUp(page);
  await expect(page.getByRole("link", { name: "500 credits available" })).toBeVisible();
  await bringPhoto(page);

  await test.step("upscale, watching the phases", async () => {
    await (await pricedButton(page, "Upscale")).click();
    await expect(page.getByTestId("progress")).toBeVisible();
    await expect(page.getByTestId("progress").getByRole("status")).toHaveText(
      /Asking|Holding|Handing|Queued|Fetching|Loading|Running|Saving|Looking|Settling/,
    );
    await expect(page.getByRole("slider", { name: /Compare/ })).toBeVisible({ timeout: 60_000 });
  });

  await test.step("compare with the keyboard", async () => {
    const slider = page.getByRole("slider", { name: /Compare/ });
    await slider.focus();
    await page.keyboard.press("ArrowRight");
    await expect(slider).toHaveValue("51");
    await expect(page.getByText(`After ${PHOTO_WIDTH * 2} ×`)).toBeVisible();
  });

  await test.step("download it whole", async () => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download" }).click(),
    ]);
    expect(pngSize(await readFile(await download.path())).width).toBe(PHOTO_WIDTH * 2);
  });

  await test.step("read what happened when, and who paid", async () => {
    await page.getByRole("link", { name: "What happened when" }).click();
    await expect(page).toHaveURL(/\/runs\//);
    await expect(page.getByText("Who paid:")).toBeVisible();
    for (const system of ["business", "infrastructure", "inference"]) {
      await expect(page.getByRole("listitem").filter({ hasText: system }).first()).toBeVisible();
    }
    await expect(page.getByText(/credits charged/).first()).toBeVisible();
  });

  await test.step("find it on the wall and in the list", async () => {
    await page.getByRole("link", { name: "Library", exact: true }).click();
    await expect(page.getByRole("link", { name: /rocket.*320 × 214/ })).toBeVisible();
    await expect(
      page.getByRole("listitem").filter({ has: page.getByRole("link", { name: /640 × 428/ }) }),
    ).toBeVisible();
    await page.getByRole("link", { name: "Runs", exact: true }).click();
    await expect(page.getByRole("row", { name: /Upscale.*Done/ })).toBeVisible();
  });
});

test("a photograph becomes a clip that plays", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  await page.getByRole("radio", { name: "Animate" }).check();
  await page.getByRole("spinbutton", { name: /Length/ }).fill("2");
  await page.getByRole("radio", { name: "Pan left" }).check();
  await (await pricedButton(page, "Animate")).click();
  const clip = page.getByTestId("clip");
  await expect(clip).toBeVisible({ timeout: 60_000 });
  await expect.poll(() => clip.evaluate((video: HTMLVideoElement) => video.duration)).toBeCloseTo(2, 0);
  await clip.evaluate((video: HTMLVideoElement) => video.play());
  await expect.poll(() => clip.evaluate((video: HTMLVideoElement) => video.currentTime)).toBeGreaterThan(0.2);
});

test("takes stand side by side", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  await (await pricedButton(page, "Upscale")).click();
  await expect(page.getByRole("slider", { name: /Compare/ })).toBeVisible({ timeout: 60_000 });
  await page.getByRole("radio", { name: "4×" }).check();
  await (await pricedButton(page, "Upscale")).click();
  await expect(page.getByRole("button", { name: "Compare takes" })).toBeVisible({ timeout: 90_000 });
  await page.keyboard.press("c");
  await expect(page).toHaveURL(/vs=/);
  await expect(
    page.getByRole("slider", { name: "Compare: 2× to the left, 4× to the right of the line" }),
  ).toBeVisible();
});

test("a cancel is confirmed by the worker, and what was not used returns", async ({ page }) => {
  await signUp(page);
  await bringPhoto(page);
  await page.getByRole("radio", { name: "Animate" }).check();
  await page.getByRole("spinbutton", { name: /Length/ }).fill("8");
  await (await pricedButton(page, "Animate")).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByText("Canceled").first()).toBeVisible({ timeout: 60_000 });
  await expect(page.getByText(/nothing charged|returned/i).first()).toBeVisible();

  // Its own page says why it ended, in words, and leads back to what it was made from.
  const { items } = (await (await page.request.get("/v1/runs")).json()) as {
    items: { id: string; failure: { message: string } | null }[];
  };
  const [run] = items;
  if (!run?.failure) throw new Error("a canceled run says why it ended");
  await page.goto(`/runs/${run.id}`);
  await expect(page.getByText(`Why it ended: ${run.failure.message}`)).toBeVisible();
  await expect(page.getByRole("link", { name: "Try again in the studio" })).toBeVisible();
  await page.goto(`/runs/${run.id.slice(0, -4)}0000`);
  await expect(page.getByRole("heading", { name: "There is no such run here" })).toBeVisible();
  await expect(page.getByRole("link", { name: "Your runs" })).toBeVisible();
});
