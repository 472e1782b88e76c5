/** What a key may in one area. */
export type May = "none" | "read" | "write";
export type Scopes = Partial<Record<string, May>>;

/** The areas of the API as one grants them, in the words of the pages. */
export const AREAS: readonly [area: string, label: string][] = [
  ["tools", "Tools and runs"],
  ["assets", "Library"],
  ["boards", "Boards"],
  ["posts", "Community"],
  ["billing", "Credits"],
  ["mandates", "Mandates"],
  ["identity", "Members, keys, account"],
  ["jobs", "Fleet and jobs"],
  ["metrics", "Numbers"],
];

/** Writing includes looking: whoever may change something sees it. */
export function scopeList(scopes: Scopes): string[] {
  return AREAS.flatMap(([area]) => {
    const may = scopes[area] ?? "none";
    if (may === "none") return [];
    return may === "read" ? [`${area}:read`] : [`${area}:read`, `${area}:write`];
  });
}

/** "everything", or "Library, and look at Credits". */
export function scopeWords(scopes: string[]): string {
  if (scopes.length === 0 || scopes.includes("*")) return "everything";
  const labelOf = (area: string) => AREAS.find(([one]) => one === area)?.[1] ?? area;
  const writes = scopes.filter((one) => one.endsWith(":write")).map((one) => one.split(":")[0] ?? "");
  const reads = scopes
    .filter((one) => one.endsWith(":read"))
    .map((one) => one.split(":")[0] ?? "")
    .filter((area) => !writes.includes(area));
  const change = writes.map(labelOf).join(", ");
  const look = reads.length ? `look at ${reads.map(labelOf).join(", ")}` : "";
  return [change, look].filter(Boolean).join("; ");
}
