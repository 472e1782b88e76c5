/**
 * Fractional indexes: strings that sort as text, with room between any two. Two people who insert at the same place
 * at once may make equal strings; whoever reads sorts by id then, so that all see one order.
 */
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LAST = DIGITS.length - 1;

const digit = (text: string, at: number, otherwise: number): number => {
  const char = text[at];
  if (char === undefined) return otherwise;
  const value = DIGITS.indexOf(char);
  // A key that another program wrote in its own alphabet: its place in ours is near enough to stay in order.
  return value >= 0 ? value : char < "0" ? 0 : LAST;
};

/** A key after `before` and ahead of `after`; null is the beginning or the end. */
export function between(before: string | null, after: string | null): string {
  const low = before ?? "";
  if (after !== null && low >= after) return `${low}${DIGITS[LAST >> 1]}`;
  let key = "";
  let bounded = after !== null;
  for (let at = 0; ; at += 1) {
    // Nothing lies before a key that ends in the first digit; we make none, but others may.
    if (bounded && at >= (after ?? "").length) return `${low}${DIGITS[LAST >> 1]}`;
    const from = digit(low, at, 0);
    const to = bounded ? digit(after ?? "", at, 0) : LAST + 1;
    // At the end one step is enough: appended keys stay short.
    if (!bounded && at < low.length && from < LAST) return key + DIGITS[from + 1];
    if (to - from > 1) return key + DIGITS[from + Math.ceil((to - from) / 2)];
    key += DIGITS[from];
    if (to > from) bounded = false;
  }
}

/** Sorts by key, then by id. */
export function inOrder<T extends { order: string; id: string }>(a: T, b: T): number {
  if (a.order !== b.order) return a.order < b.order ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** The key that moves something to `index` among the others, which are in order. */
export function keyAt(others: readonly { order: string }[], index: number): string {
  return between(others[index - 1]?.order ?? null, others[index]?.order ?? null);
}
