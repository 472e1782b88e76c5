import { fileURLToPath } from "node:url";
import { expect, type Page } from "@playwright/test";

export const PHOTO = fileURLToPath(new URL("fixtures/rocket.jpg", import.meta.url));
export const PHOTO_WIDTH = 320;
export const PASSWORD = "a lantern in the rain";

/** Who runs the studio: made by `--demo-account`. */
export const STAFF = {
  email: process.env.BACKLOT_STAFF_EMAIL ?? "demo@backlot.example",
  password: process.env.BACKLOT_STAFF_PASSWORD ?? "roll camera action",
};

let people = 0;

/** An address that nobody has used, in this run or before it. */
export function newEmail(): string {
  people += 1;
  return `journey-${Date.now().toString(36)}-${process.pid}-${people}@studio.example`;
}

export async function signUp(page: Page, name = "Ada Oyelaran", email = newEmail()): Promise<string> {
  await page.goto("/sign-up");
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: /Sign up/ }).click();
  await atWork(page);
  return email;
}

export async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.goto("/sign-in");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await atWork(page);
}

async function atWork(page: Page) {
  await expect(page).toHaveURL(/\/studio/);
  await expect(page.getByRole("button", { name: /Choose a photograph/ })).toBeVisible();
}

export async function bringPhoto(page: Page): Promise<void> {
  await page.getByTestId("file").setInputFiles(PHOTO);
  await expect(page).toHaveURL(/asset=/);
  await expect(page.getByRole("navigation", { name: "Takes" })).toContainText("rocket.jpg");
}

/** Chooses a tool. The run button carries its price before anything is spent. */
export async function pricedButton(page: Page, tool: string) {
  await page.getByRole("radio", { name: tool, exact: true }).check();
  const button = page.getByTestId("run");
  await expect(button).toContainText(new RegExp(`${tool}.*[\\d.]+ credits?`));
  await expect(button).not.toHaveAttribute("aria-disabled", "true");
  return button;
}

/** The width and height in a PNG's header. */
export function pngSize(bytes: Buffer): { width: number; height: number } {
  expect(bytes.subarray(1, 4).toString("latin1")).toBe("PNG");
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}
