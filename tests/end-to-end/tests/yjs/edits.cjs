// How long an edit in one browser takes to be in another: two published y-websocket clients on one board, one sets a
// place, the other waits for it. Prints one JSON line of milliseconds. `scripts/bench-boards` runs it.
//
// node --experimental-websocket edits.cjs WEB_FOLDER '{"url","board","cookie","edits"}'
const { createRequire } = require("node:module");
const path = require("node:path");

const [webFolder, text] = process.argv.slice(2);
const from = createRequire(path.resolve(webFolder, "package.json"));
const Y = from("yjs");
const { WebsocketProvider } = from("y-websocket");
const { url, board, cookie, edits } = JSON.parse(text);

class Socket extends WebSocket {
  constructor(address) {
    super(address, { headers: { cookie } });
  }
}

const clients = [0, 1].map(() => {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`${url.replace("http", "ws")}/v1/boards`, `${board}/sync`, doc, {
    WebSocketPolyfill: Socket,
    disableBc: true,
  });
  // News of runs are not for this one.
  provider.messageHandlers[100] = () => {};
  return { provider, nodes: doc.getMap("nodes") };
});

const synced = (provider) => new Promise((done) => (provider.synced ? done() : provider.once("sync", done)));

(async () => {
  await Promise.all(clients.map((client) => synced(client.provider)));
  const [one, two] = clients;
  const id = [...one.nodes.keys()][0];
  const times = [];
  for (let n = 0; n < edits; n++) {
    const arrived = new Promise((done) => two.nodes.get(id).observe(done));
    const began = performance.now();
    one.nodes.get(id).set("x", 1_000_000 + n);
    await arrived;
    times.push(performance.now() - began);
  }
  console.log(JSON.stringify(times));
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
