import * as Y from "yjs";
import { randomId } from "../../../lib/keys";
import { keyAt } from "./order";
import { readEdge, readNode, readTrack, type Shared } from "./read";
import { editBetween } from "./text";
import { SIZES, type BoardEdge, type BoardNode, type Clip, type NewNode, type Track, type TrackKind } from "./types";

/** What this page did; only that is undone here. */
export const LOCAL = Symbol("this page");
const UNDO_CAPTURE_MS = 400;

type Part = "nodes" | "edges" | "tracks";

/**
 * The document of a board: read as plain values that keep their identity until they change, written by commands.
 * Each command is one transaction, thus one step of undo.
 */
export class Board {
  readonly doc: Y.Doc;
  readonly undo: Y.UndoManager;
  private readonly shared: Record<Part, Y.Map<Shared>>;
  private readonly nodeById = new Map<string, BoardNode>();
  private readonly edgeById = new Map<string, BoardEdge>();
  private readonly trackById = new Map<string, Track>();
  private lists: { nodes: BoardNode[]; edges: BoardEdge[]; tracks: Track[] } = { nodes: [], edges: [], tracks: [] };
  private readonly listeners = new Set<() => void>();
  private dirty = new Set<Part>();

  constructor(doc = new Y.Doc()) {
    this.doc = doc;
    this.shared = { nodes: doc.getMap("nodes"), edges: doc.getMap("edges"), tracks: doc.getMap("tracks") };
    this.undo = new Y.UndoManager(Object.values(this.shared), {
      trackedOrigins: new Set([LOCAL]),
      captureTimeout: UNDO_CAPTURE_MS,
    });
    this.follow("nodes", this.nodeById, readNode);
    this.follow("edges", this.edgeById, readEdge);
    this.follow("tracks", this.trackById, readTrack);
    doc.on("afterTransaction", () => this.publish());
    this.publish();
  }

  destroy(): void {
    this.undo.destroy();
    this.doc.destroy();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  get nodes(): readonly BoardNode[] {
    return this.lists.nodes;
  }
  /** Only edges whose both ends exist: a deletion and a connection may have happened at once. */
  get edges(): readonly BoardEdge[] {
    return this.lists.edges;
  }
  get tracks(): readonly Track[] {
    return this.lists.tracks;
  }
  node = (id: string): BoardNode | undefined => this.nodeById.get(id);
  edge = (id: string): BoardEdge | undefined => this.edgeById.get(id);

  /** The film: the first track of pictures. */
  get film(): Track | null {
    return this.lists.tracks.find((track) => track.kind === "video") ?? null;
  }
  clip(id: string): Clip | undefined {
    return this.lists.tracks.flatMap((track) => track.clips).find((clip) => clip.id === id);
  }

  /** The shared text of a prompt or a note. */
  text(id: string, name: "prompt" | "text" = "prompt"): Y.Text | null {
    const value = this.params(id)?.get(name);
    return value instanceof Y.Text ? value : null;
  }

  change(act: () => void): void {
    this.doc.transact(act, LOCAL);
  }
  /** What follows is a step of its own, however soon it comes. */
  step(): void {
    this.undo.stopCapturing();
  }

  addNode(node: NewNode): string {
    const id = newId();
    const size = SIZES[node.kind];
    this.change(() => {
      const shared: Shared = new Y.Map();
      const params = new Y.Map<unknown>();
      for (const [name, value] of Object.entries(node.params ?? {})) params.set(name, sharedValue(name, value));
      if (node.kind === "prompt" && !node.params?.prompt) params.set("prompt", new Y.Text());
      if (node.kind === "note" && !node.params?.text) params.set("text", new Y.Text());
      for (const [name, value] of Object.entries({
        kind: node.kind,
        x: Math.round(node.x),
        y: Math.round(node.y),
        w: Math.round(node.w ?? size.w),
        h: Math.round(node.h ?? size.h),
        params,
      }))
        shared.set(name, value);
      this.shared.nodes.set(id, shared);
    });
    return id;
  }

  place(places: readonly { id: string; x?: number; y?: number; w?: number; h?: number }[]): void {
    this.change(() => {
      for (const { id, ...place } of places) {
        const shared = this.shared.nodes.get(id);
        if (!shared) continue;
        for (const [name, value] of Object.entries(place)) {
          if (value !== undefined && shared.get(name) !== Math.round(value)) shared.set(name, Math.round(value));
        }
      }
    });
  }

  setParam(id: string, name: string, value: unknown): void {
    this.change(() => {
      const params = this.params(id);
      if (!params) return;
      if (value === undefined) params.delete(name);
      else params.set(name, sharedValue(name, value));
    });
  }

  /** One field of a tool's input. Fields are kept apart so that two people may change two of them at once. */
  setInput(id: string, field: string, value: unknown): void {
    this.change(() => {
      const params = this.params(id);
      if (!params) return;
      let input = params.get("input");
      if (!(input instanceof Y.Map)) {
        const values = Object.entries((input ?? {}) as Record<string, unknown>);
        input = new Y.Map(values);
        params.set("input", input);
      }
      const fields = input as Y.Map<unknown>;
      if (value === undefined || value === "") fields.delete(field);
      else fields.set(field, value);
    });
  }

  /** Writes only the stretch that changed, so that two people may type in one prompt. */
  setText(id: string, name: "prompt" | "text", next: string): void {
    this.change(() => {
      const params = this.params(id);
      if (!params) return;
      const text = params.get(name);
      if (!(text instanceof Y.Text)) {
        params.set(name, new Y.Text(next));
        return;
      }
      const edit = editBetween(text.toString(), next);
      if (!edit) return;
      if (edit.removed) text.delete(edit.at, edit.removed);
      if (edit.inserted) text.insert(edit.at, edit.inserted);
    });
  }

  chooseTake(id: string, take: string | null): void {
    this.change(() => {
      const shared = this.shared.nodes.get(id);
      if (take === null) shared?.delete("chosen_take");
      else shared?.set("chosen_take", take);
    });
  }

  /** With the nodes go their edges and their clips; takes stay with the server. */
  remove(nodeIds: readonly string[], edgeIds: readonly string[] = []): void {
    const gone = new Set(nodeIds);
    this.change(() => {
      for (const id of edgeIds) this.shared.edges.delete(id);
      for (const [id, edge] of this.shared.edges) {
        if (gone.has(String(edge.get("from"))) || gone.has(String(edge.get("to")))) this.shared.edges.delete(id);
      }
      for (const track of this.lists.tracks) {
        for (const clip of track.clips) if (gone.has(clip.node)) this.clips(track.id)?.delete(clip.id);
      }
      for (const id of gone) this.shared.nodes.delete(id);
    });
  }

  /** Connects, in place of what fed the same port before. */
  connect(from: string, fromPort: string, to: string, toPort: string): string {
    const id = newId();
    this.change(() => {
      for (const edge of this.lists.edges) {
        if (edge.to === to && edge.toPort === toPort) this.shared.edges.delete(edge.id);
      }
      this.shared.edges.set(
        id,
        new Y.Map<unknown>([
          ["from", from],
          ["from_port", fromPort],
          ["to", to],
          ["to_port", toPort],
        ]),
      );
    });
    return id;
  }

  /** Whether `from` is made of `to`, so that an edge from `from` to `to` would close a circle. */
  wouldCircle(from: string, to: string): boolean {
    const seen = new Set<string>();
    const open = [from];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (id === to) return true;
      if (seen.has(id)) continue;
      seen.add(id);
      for (const edge of this.lists.edges) if (edge.to === id) open.push(edge.from);
    }
    return false;
  }

  /** Copies of the nodes with the edges among them and into them; returns the new ids. */
  duplicate(ids: readonly string[], dx: number, dy: number): string[] {
    const copyOf = new Map<string, string>();
    this.change(() => {
      for (const id of ids) {
        const node = this.nodeById.get(id);
        if (!node) continue;
        copyOf.set(id, this.addNode({ ...node, params: { ...node.params }, x: node.x + dx, y: node.y + dy }));
      }
      for (const edge of [...this.lists.edges]) {
        const to = copyOf.get(edge.to);
        if (to) this.connect(copyOf.get(edge.from) ?? edge.from, edge.fromPort, to, edge.toPort);
      }
    });
    return [...copyOf.values()];
  }

  addClip(node: string, clip: { inMs: number; outMs: number | null; index?: number; track?: TrackKind }): string {
    const id = newId();
    const kind = clip.track ?? "video";
    this.change(() => {
      const track = this.lists.tracks.find((one) => one.kind === kind);
      const others = track?.clips ?? [];
      const clips = this.clips(track?.id ?? this.addTrack(kind));
      clips?.set(
        id,
        new Y.Map<unknown>([
          ["node", node],
          ["order", keyAt(others, clip.index ?? others.length)],
          ["in_ms", Math.round(clip.inMs)],
          ["out_ms", clip.outMs === null ? null : Math.round(clip.outMs)],
          ["transition", "cut"],
          ["transition_ms", 0],
        ]),
      );
    });
    return id;
  }

  private addTrack(kind: TrackKind): string {
    // By its kind, so that two who begin at once meet in one track.
    this.shared.tracks.set(
      kind,
      new Y.Map<unknown>([
        ["kind", kind],
        ["clips", new Y.Map()],
      ]),
    );
    return kind;
  }

  updateClip(id: string, change: Partial<Pick<Clip, "inMs" | "outMs" | "transition" | "transitionMs">>): void {
    const names = { inMs: "in_ms", outMs: "out_ms", transition: "transition", transitionMs: "transition_ms" } as const;
    this.change(() => {
      const shared = this.sharedClip(id);
      for (const [name, value] of Object.entries(change)) {
        shared?.set(names[name as keyof typeof names], typeof value === "number" ? Math.round(value) : value);
      }
    });
  }

  /** Puts a clip at `index` among the others of its track. */
  moveClip(id: string, index: number): void {
    const clip = this.clip(id);
    const track = this.lists.tracks.find((one) => one.id === clip?.track);
    if (!track) return;
    const others = track.clips.filter((one) => one.id !== id);
    this.change(() => this.sharedClip(id)?.set("order", keyAt(others, index)));
  }

  removeClip(id: string): void {
    const clip = this.clip(id);
    if (clip) this.change(() => this.clips(clip.track)?.delete(id));
  }

  private params(id: string): Y.Map<unknown> | undefined {
    const params = this.shared.nodes.get(id)?.get("params");
    return params instanceof Y.Map ? params : undefined;
  }
  private clips(track: string): Y.Map<Shared> | undefined {
    const clips = this.shared.tracks.get(track)?.get("clips");
    return clips instanceof Y.Map ? (clips as Y.Map<Shared>) : undefined;
  }
  private sharedClip(id: string): Shared | undefined {
    const clip = this.clip(id);
    return clip && this.clips(clip.track)?.get(id);
  }

  /** Keeps `values` equal to what is shared: only what a transaction touched is read again. */
  private follow<T>(part: Part, values: Map<string, T>, read: (id: string, shared: Shared) => T | null): void {
    const shared = this.shared[part];
    const refresh = (id: string) => {
      const one = shared.get(id);
      const value = one instanceof Y.Map ? read(id, one) : null;
      if (value) values.set(id, value);
      else values.delete(id);
      this.dirty.add(part);
    };
    for (const id of shared.keys()) refresh(id);
    shared.observeDeep((events) => {
      const touched = new Set<string>();
      for (const event of events) {
        if (event.path.length > 0) touched.add(String(event.path[0]));
        else for (const id of event.keys.keys()) touched.add(id);
      }
      touched.forEach(refresh);
    });
  }

  private publish(): void {
    if (this.dirty.size === 0) return;
    const { dirty, nodeById } = this;
    this.dirty = new Set();
    this.lists = {
      nodes: dirty.has("nodes") ? [...nodeById.values()] : this.lists.nodes,
      edges:
        dirty.has("nodes") || dirty.has("edges")
          ? keepSame(
              this.lists.edges,
              [...this.edgeById.values()].filter((edge) => nodeById.has(edge.from) && nodeById.has(edge.to)),
            )
          : this.lists.edges,
      tracks: dirty.has("tracks")
        ? [...this.trackById.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
        : this.lists.tracks,
    };
    for (const listener of this.listeners) listener();
  }
}

/** The old list where nothing in it changed: a moved node must not draw every edge anew. */
function keepSame<T>(before: T[], after: T[]): T[] {
  return before.length === after.length && before.every((one, index) => one === after[index]) ? before : after;
}

function sharedValue(name: string, value: unknown): unknown {
  if ((name === "prompt" || name === "text") && typeof value === "string") return new Y.Text(value);
  if (name === "input" && typeof value === "object" && value !== null) return new Y.Map(Object.entries(value));
  return value;
}

function newId(): string {
  return randomId();
}
