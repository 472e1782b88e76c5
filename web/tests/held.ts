import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A way to the studio that keeps changes back until it is told to let them through. */
export interface Held {
  url: string;
  /** From now on, changes wait. */
  hold: () => void;
  /** What waits goes on, as far as whoever sent it has not hung up. */
  release: () => void;
  /** How many wait. */
  waiting: () => number;
  close: () => Promise<void>;
}

export async function heldStudio(studio: string): Promise<Held> {
  let isHolding = false;
  const waiting = new Set<() => void>();
  const server = createServer((from, to) => {
    const pass = () => forward(studio, from, to);
    if (!isHolding || from.method === "GET") return pass();
    waiting.add(pass);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    hold: () => {
      isHolding = true;
    },
    release: () => {
      isHolding = false;
      for (const pass of waiting) pass();
      waiting.clear();
    },
    waiting: () => waiting.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function forward(studio: string, from: IncomingMessage, to: ServerResponse): void {
  const { host, origin } = new URL(studio);
  // To the studio it is its own page that asks.
  const headers = { ...from.headers, host, ...(from.headers.origin ? { origin } : {}) };
  const onward = request(studio + (from.url ?? "/"), { method: from.method, headers }, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
  });
  onward.on("error", () => to.destroy());
  to.on("close", () => onward.destroy());
  from.pipe(onward);
}
