import type { Asset } from "../api/types";

export const contentUrl = (id: string) => `/v1/assets/${id}/content`;
export const previewUrl = (id: string) => `/v1/assets/${id}/preview`;

export function isVideo(asset: Pick<Asset, "content_type">): boolean {
  return asset.content_type.startsWith("video/");
}
export function isImage(asset: Pick<Asset, "content_type">): boolean {
  return asset.content_type.startsWith("image/");
}
export function isAudio(asset: Pick<Asset, "content_type">): boolean {
  return asset.content_type.startsWith("audio/");
}

/** Width by height; square where nothing was probed. */
export function ratioOf(asset: { width: number | null; height: number | null }): number {
  return asset.width && asset.height ? asset.width / asset.height : 1;
}
