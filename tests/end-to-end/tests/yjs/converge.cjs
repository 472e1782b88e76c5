// Several real Yjs clients, over y-websocket as it is, edit one board at random, lose their connections and
// come back. At the end all of them, and the server, must say the same. Prints one JSON line.
//
// node --experimental-websocket converge.cjs WEB_FOLDER '{"url","board","keys":[…],"seed","rounds"}'
const { createRequire } = require("node:module");
const path = require("node:path");

const [webFolder, text] = process.argv.slice(2);
const from = createRequire(path.resolve(webFolder, "package.json"));
const Y = from("yjs");
const { WebsocketProvider } = from("y-websocket");
const { url, board, keys, seed, rounds } = JSON.parse(text);

// Mulberry32: the same seed, the same edits.
let state = seed >>> 0;
const random = (below) => {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) % below;
};

const socketWith = (key) =>
  class extends WebSocket {
    constructor(address) {
      super(address, { headers: { authorization: `Bearer ${key}` } });
    }
  };

const clients = keys.map((key) => {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`${url.replace("http", "ws")}/v1/boards`, `${board}/sync`, doc, {
    WebSocketPolyfill: socketWith(key),
    disableBc: true,
    maxBackoffTime: 200,
  });
  return { doc, provider, nodes: doc.getMap("nodes"), edges: doc.getMap("edges"), tracks: doc.getMap("tracks") };
});

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (what, check, ms = 30_000) => {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`it did not happen: ${what}`);
    await sleep(10);
  }
};

function edit(client) {
  const { doc, nodes, edges, tracks } = client;
  const ids = [...nodes.keys()];
  const some = ids[random(ids.length || 1)];
  doc.transact(() => {
    switch (random(8)) {
      case 0:
      case 1: {
        const node = new Y.Map();
        const params = new Y.Map();
        params.set("prompt", new Y.Text("a shot"));
        for (const [name, value] of [["kind", "prompt"], ["x", random(900)], ["y", random(900)], ["w", 200], ["h", 100]])
          node.set(name, value);
        node.set("params", params);
        nodes.set(`n${random(40)}`, node);
        break;
      }
      case 2:
        if (some) nodes.get(some).set("x", random(1_000));
        break;
      case 3:
      case 4: {
        const prompt = some && nodes.get(some).get("params")?.get("prompt");
        if (prompt instanceof Y.Text) {
          if (random(3) === 0 && prompt.length > 2) prompt.delete(random(prompt.length - 1), 1);
          else prompt.insert(random(prompt.length + 1), ["sea ", "light ", "🎬", "é"][random(4)]);
        }
        break;
      }
      case 5:
        if (some) {
          const edge = new Y.Map();
          for (const [name, value] of [["from", some], ["from_port", "out"], ["to", ids[random(ids.length)]], ["to_port", "in"]])
            edge.set(name, value);
          edges.set(`e${random(30)}`, edge);
        }
        break;
      case 6:
        if (some && random(4) === 0) nodes.delete(some);
        break;
      default: {
        let track = tracks.get("t");
        if (!track) {
          track = new Y.Map();
          track.set("kind", "video");
          track.set("clips", new Y.Map());
          tracks.set("t", track);
        }
        const clip = new Y.Map();
        for (const [name, value] of [["node", some ?? "n0"], ["order", `a${random(9)}`], ["in_ms", 0], ["out_ms", 1 + random(5_000)], ["transition", "cut"], ["transition_ms", 0]])
          clip.set(name, value);
        track.get("clips").set(`c${random(12)}`, clip);
      }
    }
  });
}

// Keys in one order, so that equal documents have equal texts.
const sorted = (value) =>
  value && typeof value === "object" && !Array.isArray(value)
    ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
    : value;
const says = (client) =>
  JSON.stringify(sorted({ nodes: client.nodes.toJSON(), edges: client.edges.toJSON(), tracks: client.tracks.toJSON() }));

(async () => {
  await until("all are connected", () => clients.every((client) => client.provider.synced));
  for (let round = 0; round < rounds; round++) {
    const client = clients[random(clients.length)];
    edit(client);
    if (random(40) === 0) client.provider.disconnect();
    if (random(10) === 0) for (const other of clients) other.provider.connect();
    if (random(4) === 0) await sleep(random(8));
  }
  for (const client of clients) client.provider.connect();
  await until("all are connected again", () => clients.every((client) => client.provider.synced));
  await until("all say the same", () => new Set(clients.map(says)).size === 1);
  const answer = await fetch(`${url}/v1/boards/${board}/document`, { headers: { authorization: `Bearer ${keys[0]}` } });
  const server = await answer.json();
  // The server's document, asked for as a new client would.
  const fresh = new Y.Doc();
  const late = new WebsocketProvider(`${url.replace("http", "ws")}/v1/boards`, `${board}/sync`, fresh, {
    WebSocketPolyfill: socketWith(keys[0]),
    disableBc: true,
  });
  await until("the late one is there", () => late.synced);
  const lateSays = says({ nodes: fresh.getMap("nodes"), edges: fresh.getMap("edges"), tracks: fresh.getMap("tracks") });
  const one = clients[0];
  console.log(
    JSON.stringify({
      same: lateSays === says(one),
      nodes: one.nodes.size,
      server_nodes: server.nodes.length,
      prompts: server.nodes.every((node) => node.params.prompt === one.nodes.get(node.id).get("params").get("prompt").toString()),
      revision: server.revision,
    }),
  );
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
