/** The one stretch in which two texts differ: what a person typed, pasted or deleted. */
export interface Edit {
  at: number;
  removed: number;
  inserted: string;
}

export function editBetween(before: string, after: string): Edit | null {
  if (before === after) return null;
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  // Never between the halves of a character.
  if (isLowHalf(before, start) || isLowHalf(after, start)) start -= 1;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  if (isLowHalf(before, before.length - end) || isLowHalf(after, after.length - end)) end -= 1;
  return {
    at: start,
    removed: before.length - start - end,
    inserted: after.slice(start, after.length - end),
  };
}

function isLowHalf(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return at > 0 && at < text.length && code >= 0xdc00 && code <= 0xdfff;
}

/** Where the caret is after somebody else's edit. */
export function shifted(caret: number, edit: Edit): number {
  if (caret <= edit.at) return caret;
  if (caret <= edit.at + edit.removed) return edit.at + edit.inserted.length;
  return caret + edit.inserted.length - edit.removed;
}
