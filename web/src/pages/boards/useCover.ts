import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { boardCalls, boardKeys, type BoardSummary } from "../../api/boards";
import type { Board } from "./doc/board";
import type { Facts } from "./doc/facts";

/** A cover is looked for this long after the last change. */
const SETTLED_MS = 3_000;

/** Keeps the picture under which the board stands in the list: how the film begins, else what was made or brought. */
export function useCover(summary: BoardSummary, board: Board, facts: Facts, may: boolean): void {
  const client = useQueryClient();
  const { id, preview_url } = summary;
  useEffect(() => {
    if (!may) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      const cover = coverOf(board, facts);
      if (!cover || preview_url?.includes(cover)) return;
      boardCalls.cover(id, cover).then(
        (changed) => {
          client.setQueryData(boardKeys.board(id), changed);
          void client.invalidateQueries({ queryKey: boardKeys.boards });
        },
        // A board without a picture is still a board: nobody has to hear of it.
        () => undefined,
      );
    };
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(look, SETTLED_MS);
    };
    soon();
    const forget = [board.subscribe(soon), facts.subscribe(soon)];
    return () => {
      clearTimeout(timer);
      for (const one of forget) one();
    };
  }, [id, preview_url, board, facts, may, client]);
}

function coverOf(board: Board, facts: Facts): string | null {
  const film = board.tracks.find((track) => track.kind === "video")?.clips.map((clip) => clip.node) ?? [];
  const made = board.nodes.filter((node) => node.kind === "tool").map((node) => node.id);
  const brought = board.nodes.filter((node) => node.kind === "image" || node.kind === "video").map((node) => node.id);
  for (const node of [...film, ...made, ...brought]) {
    const { asset, makes } = facts.of(node);
    if (asset && (makes === "image" || makes === "video")) return asset;
  }
  return null;
}
