// Two published y-websocket clients on a board where nobody does anything, with a clock that runs twenty times as
// fast: neither may take the silence for a lost connection. Then one of them writes a prompt that is too long.
// Prints one JSON line.
//
// node --experimental-websocket quiet.cjs WEB_FOLDER '{"url","board","key","quiet_s"}'
const { createRequire } = require("node:module");
const path = require("node:path");

const [webFolder, text] = process.argv.slice(2);
const { url, board, key, quiet_s } = JSON.parse(text);

// Before the client is loaded: it keeps the clock that it finds.
const FASTER = 20;
const realNow = Date.now;
const realInterval = setInterval;
const began = realNow();
Date.now = () => began + (realNow() - began) * FASTER;
globalThis.setInterval = (call, ms, ...rest) => realInterval(call, ms / FASTER, ...rest);

const from = createRequire(path.resolve(webFolder, "package.json"));
const Y = from("yjs");
const { WebsocketProvider } = from("y-websocket");

class Socket extends WebSocket {
  constructor(address) {
    super(address, { headers: { authorization: `Bearer ${key}` } });
  }
}

function client() {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`${url.replace("http", "ws")}/v1/boards`, `${board}/sync`, doc, {
    WebSocketPolyfill: Socket,
    disableBc: true,
  });
  const closed = [];
  provider.on("connection-close", (event) => closed.push(event?.code ?? 0));
  return { doc, provider, closed };
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (what, check) => {
  const end = realNow() + 15_000;
  while (!check()) {
    if (realNow() > end) throw new Error(`it did not happen: ${what}`);
    await sleep(10);
  }
};

(async () => {
  const [one, two] = [client(), client()];
  one.provider.awareness.setLocalStateField("cursor", { x: 1, y: 2 });
  await until("both are there", () => one.provider.synced && two.provider.synced);
  await until("each sees the other", () => two.provider.awareness.states.size === 2);
  await sleep((quiet_s * 1_000) / FASTER);
  const seen = two.provider.awareness.states.size;
  const quiet = [...one.closed, ...two.closed];

  const node = new Y.Map();
  const params = new Y.Map();
  node.set("kind", "prompt");
  node.set("params", params);
  params.set("prompt", new Y.Text("x".repeat(100_000)));
  one.provider.maxBackoffTime = 1e9;
  one.doc.getMap("nodes").set("long", node);
  await until("the prompt is refused", () => one.closed.length > 0);
  one.provider.shouldConnect = false;
  console.log(JSON.stringify({ quiet, seen, refused: one.closed[0], other: two.doc.getMap("nodes").size }));
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
