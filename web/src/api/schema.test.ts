import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const DOCUMENT = path("../../../openapi.json");
const GENERATE_MS = 30_000;

test.skipIf(!existsSync(DOCUMENT))(
  "the types are those of openapi.json: else run scripts/openapi",
  { timeout: GENERATE_MS },
  () => {
    const generated = execFileSync(process.execPath, [path("../../tools/types.mjs"), DOCUMENT, "--print"], {
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    expect(generated).toBe(readFileSync(path("schema.ts"), "utf8"));
  },
);
