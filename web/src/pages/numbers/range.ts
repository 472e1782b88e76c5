const DAY_MS = 86_400_000;

export const RANGES = [7, 28, 90] as const;
export type Range = (typeof RANGES)[number];
export const RANGE_DEFAULT: Range = 28;

/** The last `days` days up to today, UTC, as the metrics' addresses take them. */
export function rangeOf(days: number, now_ms: number): { from: string; to: string } {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  return { from: day(now_ms - (days - 1) * DAY_MS), to: day(now_ms) };
}

export function rangeFrom(text: string | null): Range {
  return RANGES.find((one) => String(one) === text) ?? RANGE_DEFAULT;
}
