import { expect, test } from "vitest";
import {
  compact,
  dayName,
  plural,
  ago,
  bytes,
  credits,
  creditsExact,
  duration,
  humanise,
  listOf,
  readable,
  shortId,
  utcDay,
} from "./format";

test.each([
  [0, "0"],
  [170_000, "0.17"],
  [1_000_000, "1"],
  [1_234_567_890, "1,234.57"],
  [100, "0.0001"],
  [4_132, "0.0041"],
  [-2_500_000, "−2.5"],
])("%d micro-credits read %s", (micro, words) => expect(credits(micro)).toBe(words));

test("a ledger shows every micro-credit", () => expect(creditsExact(170_001)).toBe("0.170001"));

test.each([
  [0, "0 ms"],
  [999, "999 ms"],
  [4_230, "4.2 s"],
  [61_000, "61 s"],
  [150_000, "3 min"],
  [7_200_000, "2 h"],
  [400_000_000, "5 days"],
])("%d ms read %s", (ms, words) => expect(duration(ms)).toBe(words));

test.each([
  [0, "0 bytes"],
  [999, "999 bytes"],
  [64_655, "64.7 kB"],
  [2_000_000_000, "2 GB"],
])("%d bytes read %s", (size, words) => expect(bytes(size)).toBe(words));

test("identifiers become words", () => expect(humanise("zoom_in")).toBe("Zoom in"));
test("ids are told apart by their end", () => expect(shortId("01930f2e-7c1a-7c3b-9b7e-2f6f0c9b51aa")).toBe("0c9b51aa"));
test("what a system wrote reads for people", () => {
  expect(readable("/input/seconds this is greater than the maximum of 8")).toBe(
    "Seconds: this is greater than the maximum of 8",
  );
  expect(readable("mandate 01a20713-e604-74fc-9dea-cd9b375dfe36: 48400 micro-credits.")).toBe(
    "mandate …375dfe36: 0.048 credits.",
  );
});
test("a list reads as a sentence", () => expect(listOf(["a", "b", "c"])).toBe("a, b and c"));
test("a metric's day stays the same day in every time zone", () => expect(utcDay("2026-11-23")).toBe("23 Nov"));
test("just now, then minutes", () => {
  expect(ago("2026-11-23T10:00:00Z", Date.parse("2026-11-23T10:00:20Z"))).toBe("just now");
  expect(ago("2026-11-23T10:00:00Z", Date.parse("2026-11-23T10:12:00Z"))).toBe("12 min ago");
});

test("counts beside a picture are short", () => {
  expect(compact(398)).toBe("398");
  expect(compact(12_340)).toBe("12.3k");
  expect(plural(1, "remix", "remixes")).toBe("1 remix");
  expect(plural(4_000, "remix", "remixes")).toBe("4,000 remixes");
});
test("a day is named as one would say it", () => {
  const noon = new Date(2026, 10, 23, 12).getTime();
  const before = (hours: number) => dayName(new Date(noon - hours * 3_600_000).toISOString(), noon);
  expect([before(1), before(13), before(40)]).toEqual(["Today", "Yesterday", "21 Nov 2026"]);
});
