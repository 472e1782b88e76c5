import { readFile } from "node:fs/promises";
import { expect, type Page } from "@playwright/test";
import { PHOTO } from "./studio";

interface Target {
  url: string;
  method: string;
  headers?: Record<string, string>;
}

/** Brings a file as the signed-in person, without the pages. */
export async function bring(page: Page, file = PHOTO, type = "image/jpeg"): Promise<string> {
  const bytes = await readFile(file);
  const name = file.split("/").pop() ?? "file";
  const created = await page.request.post("/v1/assets", {
    data: { name, content_type: type, size_bytes: bytes.length },
  });
  const { asset, upload } = (await created.json()) as { asset: { id: string }; upload: Target };
  const sent = await page.request.fetch(upload.url, {
    method: upload.method,
    headers: upload.headers ?? {},
    data: bytes,
  });
  expect(sent.ok()).toBe(true);
  const complete = await page.request.post(`/v1/assets/${asset.id}/complete`, { data: {} });
  expect(complete.ok()).toBe(true);
  return asset.id;
}

export interface Published {
  id: string;
  title: string;
  author: { handle: string; name: string };
}

/** Publishes an asset as the signed-in person, and waits until it is on the wall. */
export async function publish(page: Page, assetId: string, title: string, tags: string[] = []): Promise<Published> {
  const answer = await page.request.post("/v1/posts", {
    data: { asset_id: assetId, title, tags, share_parameters: true, remixable: true },
  });
  expect(answer.ok(), await answer.text()).toBe(true);
  const post = (await answer.json()) as Published;
  await expect
    .poll(async () => ((await (await page.request.get(`/v1/posts/${post.id}`)).json()) as { state: string }).state)
    .toBe("public");
  return post;
}

/** A word that no other test has used. */
export function word(): string {
  return `w${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
}
