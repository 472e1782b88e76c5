import { fuzzy } from "./fuzzy";

/** Something that the palette finds. */
export interface Entry {
  id: string;
  name: string;
  /** Words that find it too, and count less than its name. */
  also?: string;
  /** The server found it by the words that were typed. */
  found?: boolean;
}
export interface EntryGroup<T extends Entry> {
  heading: string;
  entries: T[];
}

const LISTED_MAX = 12;
const ALSO_WEIGHT = 0.7;
const ID_CHARS_MIN = 4;
const NOISE = 0.25;
const FOUND_LEAST = 0.2;

/** What fits best first: entries within their group, and groups by the best of theirs. */
export function found<T extends Entry>(groups: EntryGroup<T>[], typed: string): EntryGroup<T>[] {
  const words = typed.trim();
  if (!words) return groups.map(cut).filter(({ entries }) => entries.length > 0);
  const fitted = groups.map(({ heading, entries }) => ({
    heading,
    fits: entries.map((entry) => ({ entry, fit: fitOf(entry, words) })),
  }));
  // Scattered letters find a name that nothing fits better; beside a good answer they are noise.
  const least = NOISE * Math.max(0, ...fitted.flatMap(({ fits }) => fits.map(({ fit }) => fit)));
  return fitted
    .map(({ heading, fits: all }) => {
      const fits = all
        .filter(({ fit, entry }) => fit > 0 && (fit >= least || entry.found))
        .sort((a, b) => b.fit - a.fit);
      // What the server finds comes later: below, so that what one is about to choose stays where it is.
      const late = Number(fits.some(({ entry }) => entry.found));
      return { heading, entries: fits.map(({ entry }) => entry), best: fits[0]?.fit ?? 0, late };
    })
    .filter(({ best }) => best > 0)
    .sort((a, b) => a.late - b.late || b.best - a.best)
    .map(cut);
}

function cut<T extends Entry>({ heading, entries }: EntryGroup<T>): EntryGroup<T> {
  return { heading, entries: entries.slice(0, LISTED_MAX) };
}

function fitOf(entry: Entry, typed: string): number {
  const byName = fuzzy(entry.name, typed);
  const byAll = entry.also ? ALSO_WEIGHT * fuzzy(`${entry.name} ${entry.also}`, typed) : 0;
  const byId = typed.length >= ID_CHARS_MIN && entry.id.toLowerCase().includes(typed.toLowerCase()) ? 1 : 0;
  return Math.max(byName, byAll, byId, entry.found ? FOUND_LEAST : 0);
}
