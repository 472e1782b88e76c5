export const HANDLE_MIN = 3;
export const HANDLE_MAX = 30;
export const TAG_MIN = 2;
export const TAG_MAX = 32;

/** "Golden Hour!" becomes "golden-hour": one spelling a tag. */
export function tagOf(text: string): string {
  return text
    .trim()
    .toLowerCase()
    .replace(/^#+/, "")
    .replace(/[^\p{L}\p{N}_]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, TAG_MAX);
}
