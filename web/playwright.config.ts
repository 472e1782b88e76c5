import { defineConfig } from "@playwright/test";

// The journeys run against a server that is up: BACKLOT_URL names it. `scripts/test-browser` starts one.
export default defineConfig({
  testDir: "tests",
  workers: 1,
  // One more try where nobody watches: a test that needed it is called flaky, by name, and scripts/test-browser says so last.
  retries: process.env.CI ? 1 : 0,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    baseURL: process.env.BACKLOT_URL ?? "http://127.0.0.1:8080",
    viewport: { width: 1440, height: 900 },
    actionTimeout: 20_000,
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: process.env.BACKLOT_CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
