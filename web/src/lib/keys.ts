const BYTES = 16;
/** RFC 9562, section 5.4: where a version 4 UUID says what it is. */
const VERSION = { byte: 6, keep: 0x0f, set: 0x40 };
const VARIANT = { byte: 8, keep: 0x3f, set: 0x80 };

function randomHex(marks: { byte: number; keep: number; set: number }[]): string {
  const bytes = crypto.getRandomValues(new Uint8Array(BYTES));
  for (const { byte, keep, set } of marks) bytes[byte] = ((bytes[byte] ?? 0) & keep) | set;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A random idempotency key; also where the page is served without TLS, where crypto.randomUUID is missing. */
export function idempotencyKey(): string {
  return randomHex([]);
}

/** A random id, a UUID of version 4; also without TLS. */
export function randomId(): string {
  return randomHex([VERSION, VARIANT]).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A combination of keys as this machine's keyboard has it: "⌘K" is "Ctrl K" where there is no ⌘. */
export function keyLabel(keys: string, isApple: boolean): string {
  return isApple ? keys : keys.replace("⇧", "Shift ").replace("⌘", "Ctrl ");
}
