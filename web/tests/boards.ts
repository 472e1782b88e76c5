import { expect, type Page } from "@playwright/test";
import { PHOTO } from "./studio";

export type Command = { op: string; [field: string]: unknown };

/** A board by the API, with what is on it. */
export async function newBoard(page: Page, title: string, commands: Command[] = []): Promise<string> {
  const made = await page.request.post("/v1/boards", { data: { title }, headers: await sameOrigin(page) });
  expect(made.status(), await made.text()).toBeLessThan(300);
  const { id } = (await made.json()) as { id: string };
  if (commands.length > 0) await command(page, id, commands);
  return id;
}

const COMMANDS_MAX = 500;

export async function command(page: Page, board: string, commands: Command[]): Promise<void> {
  for (let at = 0; at < commands.length; at += COMMANDS_MAX) {
    const done = await page.request.post(`/v1/boards/${board}/commands`, {
      data: { commands: commands.slice(at, at + COMMANDS_MAX) },
      headers: await sameOrigin(page),
    });
    expect(done.status(), await done.text()).toBe(200);
  }
}

/** What a browser sends with a change: the server takes cookies from its own pages only. */
export async function sameOrigin(page: Page): Promise<Record<string, string>> {
  return { origin: new URL(page.url()).origin };
}

export async function openBoard(page: Page, id: string, view?: "canvas" | "storyboard" | "timeline"): Promise<void> {
  await page.goto(`/boards/${id}${view ? `?view=${view}` : ""}`);
  await expect(page.getByRole("button", { name: "Canvas" })).toBeVisible();
  // Said to who cannot see, also where there is no room for it.
  await expect(page.locator('[data-state="live"]')).toBeAttached();
}

/** A photograph on the canvas, which stays chosen. */
export async function bringToBoard(page: Page): Promise<void> {
  await page.getByTestId("board-file").setInputFiles(PHOTO);
  await expect(page.getByRole("complementary", { name: /Picture: rocket\.jpg/ })).toBeVisible();
}

/** Adds a tool by the palette; fed by what is chosen, where that fits. */
export async function addTool(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("combobox").fill(name);
  await page.getByRole("option", { name: new RegExp(`^${name}`) }).click();
  await expect(page.getByRole("complementary", { name: `Tool: ${name}` })).toBeVisible();
}

export const node = (page: Page, name: string | RegExp) => page.locator(".react-flow__node").filter({ hasText: name });
