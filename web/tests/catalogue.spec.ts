import { expect, test } from "@playwright/test";
import { pricedButton, signUp } from "./studio";

test("the catalogue shows what a tool does, and the line is moved by keys", async ({ page }) => {
  await signUp(page);
  await page.goto("/tools");
  const line = page.getByRole("slider", { name: /Compare: Before/ }).first();
  await expect(line).toHaveValue("50");
  await line.focus();
  await page.keyboard.press("ArrowRight");
  await expect(line).toHaveValue("51");
  await page.getByRole("link", { name: "Upscale", exact: true }).click();
  await expect(page).toHaveURL(/\/tools\/upscale/);
  await expect(page.getByText("0.04 credits a megapixel of Picture, times Scale squared")).toBeVisible();
  await expect(page.getByLabel("A command")).toContainText('"tool":"upscale"');
});

test("words alone become a sound, nothing on the stage", async ({ page }) => {
  await signUp(page);
  await page.goto("/studio?tool=narrate");
  await expect(page.getByRole("heading", { name: "Say what it should make" })).toBeVisible();
  await expect(page.getByText("“Text” is still empty")).toBeVisible();
  await page.getByLabel("Text").fill("A rocket stands at dusk, and nobody speaks.");
  await (await pricedButton(page, "Narrate")).click();
  const sound = page.getByTestId("sound");
  await expect(sound).toBeAttached({ timeout: 90_000 });
  await expect.poll(() => sound.evaluate((audio: HTMLAudioElement) => audio.duration)).toBeGreaterThan(1);
  await expect(page.getByRole("button", { name: /Take 1: Narrate/ })).toBeVisible();
});

test("the palette finds a tool by scattered letters, by keys alone", async ({ page }) => {
  await signUp(page);
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("combobox")).toBeFocused();
  await page.keyboard.type("upscl");
  await expect(page.getByRole("option").first()).toContainText("Upscale");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/tools\/upscale/);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("ak");
  await expect(page.getByRole("option").first()).toContainText("API keys");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});
