import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Everything that is built lands under /assets with a hash in its name, so the edge may cache it for ever.
// Nothing is inlined: the edge's content security policy forbids inline scripts and data: fonts.
const url = process.env.BACKLOT_URL ?? "http://127.0.0.1:8080";
const backlot = {
  target: url,
  changeOrigin: true,
  ws: true,
  // The edge takes changes only from its own pages: in development this server is its page.
  headers: { origin: new URL(url).origin },
};

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
      "/v1": backlot,
      "/docs": backlot,
      "/openapi.json": backlot,
    },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
