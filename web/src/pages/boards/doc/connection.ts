import * as decoding from "lib0/decoding";
import type { Awareness } from "y-protocols/awareness";
import { WebsocketProvider } from "y-websocket";
import type { BoardRole } from "../../../api/boards";
import { LOCAL, type Board } from "./board";

/** The server's own messages on the socket: JSON about runs, takes and comments. */
const MESSAGE_STATUS = 100;
/** Close codes in this range mirror HTTP: the server decided, and connecting again changes nothing. */
const CLOSED_BY_DECISION = 4_400;
const UNAUTHENTICATED = 4_401;
const BACKOFF_MS_MAX = 5_000;
/** The client takes a server that says nothing for half a minute for dead; alone on a board it asks, so it hears. */
const ASK_AGAIN_MS = 20_000;

export type ConnectionState = "opening" | "live" | "cut off" | "closed";
export interface Connection {
  state: ConnectionState;
  /** Something was changed here that the server has not got yet. */
  unsent: boolean;
  /** Once the whole document was here; before, an empty board must not be called empty. */
  loaded: boolean;
  closedBecause: string | null;
  /** What the server says that this person may do, as soon as it says so. */
  role: BoardRole | null;
  mayEdit: boolean | null;
  /** Why the server did not take a change: then it closed, and this page holds what the board will never have. */
  refused: string | null;
}

const CLOSED_WORDS: Record<number, string> = {
  [UNAUTHENTICATED]: "You are signed out. Sign in again to go on.",
  4_403: "Your access to this board was taken back.",
  4_404: "This board was deleted.",
  4_422: "The server refused a change of this page.",
};

/** Keeps a board's document equal to the server's over the y-sync protocol, and says in what state that is. */
export class BoardConnection {
  readonly awareness: Awareness;
  private readonly provider: WebsocketProvider;
  private current: Connection = {
    state: "opening",
    unsent: false,
    loaded: false,
    closedBecause: null,
    role: null,
    mayEdit: null,
    refused: null,
  };
  private readonly listeners = new Set<() => void>();

  constructor(board: Board, boardId: string, onStatus: (message: unknown) => void) {
    const address = `${location.origin.replace(/^http/, "ws")}/v1/boards`;
    this.provider = new WebsocketProvider(address, `${boardId}/sync`, board.doc, {
      connect: false,
      // Only the server decides who may read and write; another tab of this browser is not the server.
      disableBc: true,
      maxBackoffTime: BACKOFF_MS_MAX,
      resyncInterval: ASK_AGAIN_MS,
    });
    this.awareness = this.provider.awareness;
    this.provider.messageHandlers[MESSAGE_STATUS] = (_encoder, decoder) => {
      const news = parsed(decoding.readVarString(decoder));
      if (news.type === "role") this.set({ role: roleOf(news.role), mayEdit: news.may_edit === true });
      if (news.type === "refused") this.set({ refused: String(news.detail ?? news.code ?? "") });
      onStatus(news);
    };
    this.provider.on("status", ({ status }) => {
      if (status === "connected") return;
      this.set({ state: this.current.loaded ? "cut off" : "opening" });
    });
    this.provider.on("sync", (synced) => {
      if (synced) this.set({ state: "live", loaded: true, unsent: false });
    });
    this.provider.on("closed", ({ code, reason }) => {
      const word = this.current.refused || CLOSED_WORDS[code] || reason || "The server closed this board.";
      this.set({ state: "closed", closedBecause: code >= CLOSED_BY_DECISION ? word : null });
    });
    board.doc.on("update", (_update: Uint8Array, origin: unknown) => {
      const own = origin === LOCAL || origin === board.undo;
      if (own && this.current.state !== "live") this.set({ unsent: true });
    });
    addEventListener("online", this.again);
    this.provider.connect();
  }

  get snapshot(): Connection {
    return this.current;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  again = (): void => {
    if (this.current.state === "closed") this.set({ state: "cut off", closedBecause: null });
    this.provider.connect();
  };

  destroy(): void {
    removeEventListener("online", this.again);
    this.provider.destroy();
  }

  private set(change: Partial<Connection>): void {
    this.current = { ...this.current, ...change };
    for (const listener of this.listeners) listener();
  }
}

/** A later server may say more than this page understands: then it is woken, and reads. */
function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const ROLES: readonly BoardRole[] = ["owner", "editor", "commenter", "viewer"];
function roleOf(value: unknown): BoardRole | null {
  return ROLES.find((role) => role === value) ?? null;
}
