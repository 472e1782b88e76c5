/** A letter that begins a word counts this much more than one inside it. */
const START = 4;
/** A letter right after the one before it. */
const RUN = 3;
const GAP_COST = 0.08;
const INITIALS = 0.7;
/** What matches has at least this; 0 is no match. */
const LEAST = 0.001;

/**
 * How well what one typed fits a name, 0 for not at all. Every word must be in it as letters in order ("bdrm" finds
 * "Boardroom"); beginnings of words and letters in a row count more, what is far apart counts less.
 */
export function fuzzy(name: string, typed: string): number {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return 1;
  const text = name.toLowerCase();
  let sum = 0;
  for (const word of words) {
    const score = fit(text, word);
    if (score === 0) return 0;
    sum += score;
  }
  const begins = text.startsWith(words[0] ?? "") ? 0.2 : 0;
  // A short name that fits is a better answer than a long one.
  return Math.max(LEAST, Math.min(1, sum / words.length + begins - text.length / 2_000));
}

function fit(text: string, word: string): number {
  const whole = text.indexOf(word);
  if (whole >= 0) return isStart(text, whole) ? 0.8 : 0.6;
  let best = 0;
  for (let from = text.indexOf(word[0] ?? ""); from >= 0; from = text.indexOf(word[0] ?? "", from + 1)) {
    best = Math.max(best, follow(text, word, from));
  }
  return best;
}

function follow(text: string, word: string, from: number): number {
  let score = 0;
  let starts = 0;
  let at = from - 1;
  for (const [index, letter] of [...word].entries()) {
    const next = index === 0 ? from : nextOf(text, letter, at + 1);
    if (next < 0) return 0;
    if (isStart(text, next)) starts += 1;
    score += (isStart(text, next) ? START : 1) + (index > 0 && next === at + 1 ? RUN : 0) - (next - at - 1) * GAP_COST;
    at = next;
  }
  // "ak" is what one types for "API keys".
  if (starts === word.length) return INITIALS;
  const most = word.length * (START + RUN);
  return Math.max(LEAST, (0.5 * score) / most);
}

/** The next beginning of a word with that letter where it is near, else the next such letter. */
function nextOf(text: string, letter: string, from: number): number {
  const plain = text.indexOf(letter, from);
  for (let at = plain; at >= 0 && at < from + 24; at = text.indexOf(letter, at + 1)) {
    if (at === from || isStart(text, at)) return at;
  }
  return plain;
}

function isStart(text: string, at: number): boolean {
  return at === 0 || /[\s/_.@:-]/.test(text[at - 1] ?? "");
}
