import type { Awareness } from "y-protocols/awareness";

/** Another person on the board: who, where their pointer is, what they have chosen. */
export interface Peer {
  readonly client: number;
  readonly name: string;
  readonly color: string;
  readonly cursor: { readonly x: number; readonly y: number } | null;
  readonly selected: readonly string[];
  readonly view: string;
}

/** Of one lightness, so that dark text reads on each of them in both themes. */
const COLORS = ["#8fc7e8", "#f2a7b8", "#a8d68f", "#e8c36a", "#c3b1f0", "#7fd4c1", "#f0ab7d", "#d4a5dc"] as const;
const NAME_MAX = 40;
const SELECTED_MAX = 50;
const PEERS_MAX = 64;

export function colorOf(id: string): string {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return COLORS[hash % COLORS.length] ?? COLORS[0];
}

/** Who else is here. What others say of themselves is cut to size: any program may say it. */
export class Peers {
  private list: readonly Peer[] = [];
  private byNode = new Map<string, Peer>();
  private readonly listeners = new Set<() => void>();

  constructor(private readonly awareness: Awareness) {
    awareness.on("change", this.refresh);
  }

  destroy(): void {
    this.awareness.off("change", this.refresh);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  get all(): readonly Peer[] {
    return this.list;
  }
  at = (node: string): Peer | undefined => this.byNode.get(node);

  say(field: "user" | "cursor" | "selected" | "view", value: unknown): void {
    this.awareness.setLocalStateField(field, value);
  }

  private refresh = (): void => {
    const before = new Map(this.list.map((peer) => [peer.client, peer]));
    this.list = [...this.awareness.getStates()]
      .filter(([client, state]) => client !== this.awareness.clientID && typeof state.user === "object" && state.user)
      .slice(0, PEERS_MAX)
      .map(([client, state]) => {
        const peer = read(client, state);
        const old = before.get(client);
        return old && JSON.stringify(old) === JSON.stringify(peer) ? old : peer;
      });
    this.byNode = new Map(this.list.flatMap((peer) => peer.selected.map((id) => [id, peer] as const)));
    for (const listener of this.listeners) listener();
  };
}

function read(client: number, state: Record<string, unknown>): Peer {
  const user = state.user as Record<string, unknown>;
  const cursor = state.cursor as { x?: unknown; y?: unknown } | null | undefined;
  const placed = typeof cursor?.x === "number" && typeof cursor.y === "number";
  const selected = Array.isArray(state.selected) ? state.selected : [];
  const name = typeof user.name === "string" && user.name.trim() ? user.name.trim().slice(0, NAME_MAX) : "Somebody";
  return {
    client,
    name,
    color: COLORS.find((color) => color === user.color) ?? colorOf(name),
    cursor: placed ? { x: cursor.x as number, y: cursor.y as number } : null,
    selected: selected.filter((id): id is string => typeof id === "string").slice(0, SELECTED_MAX),
    view: typeof state.view === "string" ? state.view : "",
  };
}
