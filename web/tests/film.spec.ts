import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@playwright/test";
import { bring, publish, word } from "./community";
import { signUp } from "./studio";

/** Six seconds of a test picture, made here. */
function film(): string {
  const file = join(mkdtempSync(join(tmpdir(), "film-")), "film.mp4");
  execFileSync("ffmpeg", [
    ...["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=24:duration=6"],
    ...["-f", "lavfi", "-i", "sine=frequency=220:duration=6", "-pix_fmt", "yuv420p", "-shortest", file],
  ]);
  return file;
}

test("a film plays by its keys", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await signUp(page);
  const post = await publish(page, await bring(page, film(), "video/mp4"), `A film ${word()}`);
  await page.goto(`/community/${post.id}`);
  const video = page.getByTestId("film");
  const read = <T>(of: (video: HTMLVideoElement) => T) => video.evaluate(of as (element: Element) => T);
  await expect.poll(() => read((v) => v.readyState)).toBeGreaterThan(1);
  expect(await read((v) => v.paused)).toBe(true);

  await page.keyboard.press("k");
  await expect.poll(() => read((v) => v.paused)).toBe(false);
  await page.keyboard.press("k");
  await expect.poll(() => read((v) => v.paused)).toBe(true);
  await page.keyboard.press("5");
  await expect.poll(() => read((v) => v.currentTime)).toBeCloseTo(3, 1);
  await page.keyboard.press(".");
  await expect.poll(() => read((v) => v.currentTime)).toBeCloseTo(3 + 1 / 24, 2);
  await page.keyboard.press("ArrowLeft");
  await expect.poll(() => read((v) => v.currentTime)).toBeLessThan(0.1);
  const muted = await read((v) => v.muted);
  await page.keyboard.press("m");
  await expect.poll(() => read((v) => v.muted)).toBe(!muted);
  await expect(page.getByRole("slider", { name: "Where in the film" })).toHaveAttribute(
    "aria-valuetext",
    /^0:00 of 0:06$/,
  );
  // What one types is no key of the player.
  await page.getByLabel("Say something about it").fill("k");
  expect(await read((v) => v.paused)).toBe(true);

  // Its file is gone, or the line breaks: said where the film was, and asked again.
  await page.route(/\/v1\/posts\/[^/]+\/media/, (route) => route.fulfill({ status: 404, body: "" }));
  await page.reload();
  const player = page.getByRole("group", { name: /^Film:/ });
  await expect(player.getByRole("alert")).toContainText("cannot be played here");
  await expect(player.getByRole("button", { name: "Play", exact: true })).toBeHidden();
  await page.unroute(/\/v1\/posts\/[^/]+\/media/);
  await player.getByRole("button", { name: "Try again" }).click();
  await expect(player.getByRole("button", { name: "Play", exact: true })).toBeVisible();
  await expect.poll(() => read((v) => v.readyState)).toBeGreaterThan(1);
});
