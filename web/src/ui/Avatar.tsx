import type { Author } from "../api/social";
import css from "./Avatar.module.css";

const TONES = 6;

/** A person's picture, or the first letters of their name on a tone that stays theirs. */
export function Avatar({ of, size = 32 }: { of: Author; size?: number }) {
  const box = { width: size, height: size };
  if (of.avatar_url) return <img className={css.avatar} style={box} src={of.avatar_url} alt="" />;
  return (
    <span
      className={css.avatar}
      data-tone={toneOf(of.handle)}
      style={{ ...box, fontSize: Math.max(10, size * 0.38) }}
      aria-hidden="true"
    >
      {initials(of.name || of.handle)}
    </span>
  );
}

export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  const last = words.length > 1 ? (words.at(-1) ?? "") : "";
  return [...(words[0] ?? "")]
    .slice(0, 1)
    .concat([...last].slice(0, 1))
    .join("")
    .toUpperCase();
}

function toneOf(handle: string): number {
  let sum = 0;
  for (const char of handle) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return sum % TONES;
}
