import { createContext, useCallback, useContext, useMemo, useSyncExternalStore } from "react";
import type { BoardRole } from "../../api/boards";
import type { Tool } from "../../api/types";
import { contentUrl, previewUrl } from "../../lib/media";
import type { Board } from "./doc/board";
import type { BoardConnection, Connection } from "./doc/connection";
import type { Facts, NodeFacts } from "./doc/facts";
import type { Peer, Peers } from "./doc/peers";
import type { BoardEdge, BoardNode, Track } from "./doc/types";
import type { Arriving } from "./useBring";

export type View = "canvas" | "storyboard" | "timeline";

/** Stable for as long as the page shows one board: what changes is read from the stores in it. */
export interface Open {
  id: string;
  board: Board;
  facts: Facts;
  connection: BoardConnection;
  peers: Peers;
  tools: readonly Tool[];
  role: BoardRole;
  /** Whether this person may change the document; else the server drops what is sent. */
  canEdit: boolean;
  /** Whether this person's organisation pays for this board: a guest may edit, and not run. */
  canRun: boolean;
  /** Whether the board is their organisation's: a guest sees its files through the board, and brings them to it. */
  isHome: boolean;
  canComment: boolean;
  projectId: string | null;
  /** Opens the side panel with a node, in whatever view one is. */
  select: (ids: readonly string[]) => void;
  /** Brings in files: uploads them, and puts a node for each where the person let go. */
  bring: (files: readonly File[], at: { x: number; y: number }) => void;
}

const Context = createContext<Open | null>(null);
export const BoardProvider = Context.Provider;

export function useOpen(): Open {
  const open = useContext(Context);
  if (!open) throw new Error("useOpen outside of a board");
  return open;
}

/** Where the files of a board are read: a guest has no library with them in it, and sees them through the board. */
export function useMedia(): { contentUrl: (asset: string) => string; previewUrl: (asset: string) => string } {
  const { id, isHome } = useOpen();
  return useMemo(
    () =>
      isHome
        ? { contentUrl, previewUrl }
        : {
            contentUrl: (asset) => `/v1/boards/${id}/media/${asset}`,
            previewUrl: (asset) => `/v1/boards/${id}/media/${asset}?preview=true`,
          },
    [id, isHome],
  );
}

/** What is chosen and what is on its way in: this changes often, and few parts ask for it. */
export interface Selected {
  selected: readonly string[];
  arriving: readonly Arriving[];
}
const SelectedContext = createContext<Selected>({ selected: [], arriving: [] });
export const SelectedProvider = SelectedContext.Provider;
export const useSelected = () => useContext(SelectedContext);

export function useNode(id: string): BoardNode | undefined {
  const { board } = useOpen();
  return useSyncExternalStore(
    board.subscribe,
    useCallback(() => board.node(id), [board, id]),
  );
}

export function useFacts(id: string): NodeFacts {
  const { facts } = useOpen();
  return useSyncExternalStore(
    facts.subscribe,
    useCallback(() => facts.of(id), [facts, id]),
  );
}

export function useNodes(): readonly BoardNode[] {
  const { board } = useOpen();
  return useSyncExternalStore(board.subscribe, () => board.nodes);
}

export function useEdges(): readonly BoardEdge[] {
  const { board } = useOpen();
  return useSyncExternalStore(board.subscribe, () => board.edges);
}

export function useTracks(): readonly Track[] {
  const { board } = useOpen();
  return useSyncExternalStore(board.subscribe, () => board.tracks);
}

export function useConnection(): Connection {
  const { connection } = useOpen();
  return useSyncExternalStore(connection.subscribe, () => connection.snapshot);
}

export function usePeers(): readonly Peer[] {
  const { peers } = useOpen();
  return useSyncExternalStore(peers.subscribe, () => peers.all);
}

/** Somebody else who has this node chosen. */
export function usePeerAt(id: string): Peer | undefined {
  const { peers } = useOpen();
  return useSyncExternalStore(
    peers.subscribe,
    useCallback(() => peers.at(id), [peers, id]),
  );
}
