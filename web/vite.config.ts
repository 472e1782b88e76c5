import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Everything that is built lands under /assets with a hash in its name, so the edge may cache it for ever.
// Nothing is inlined: the edge's content security policy forbids inline scripts and data: fonts.
export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  server: {
    proxy: {
      "/v1": process.env.BACKLOT_URL ?? "http://127.0.0.1:8080",
      "/docs": process.env.BACKLOT_URL ?? "http://127.0.0.1:8080",
      "/openapi.json": process.env.BACKLOT_URL ?? "http://127.0.0.1:8080",
    },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
