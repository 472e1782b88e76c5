import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import {
  boardCalls,
  boardKeys,
  boardRunsQuery,
  isOverBoardRun,
  takesQuery,
  type BoardPlan,
  type BoardRun,
  type Take,
} from "../../api/boards";
import { keys } from "../../api/queries";
import type { Tool } from "../../api/types";
import type { Board } from "./doc/board";
import type { Facts } from "./doc/facts";

const PLAN_AFTER_MS = 500;
const EMPTY_TAKES: readonly Take[] = [];
const EMPTY_RUNS: readonly BoardRun[] = [];

/** What the server tells of a board beside its document: takes, runs, and what would run now at what price. */
export function useBoardData(boardId: string, board: Board, facts: Facts, tools: readonly Tool[], loaded: boolean) {
  const takes = useQuery(takesQuery(boardId));
  const runs = useQuery(boardRunsQuery(boardId));
  const plan = usePlan(boardId, board, loaded);
  const toolByName = useMemo(() => new Map(tools.map((tool) => [tool.name, tool])), [tools]);
  useEffect(
    () =>
      facts.tell({
        tools: toolByName,
        takes: takes.data ?? EMPTY_TAKES,
        runs: runs.data ?? EMPTY_RUNS,
        plan: plan.data ?? null,
      }),
    [facts, toolByName, takes.data, runs.data, plan.data],
  );
  useEnded(boardId, runs.data);
  return { takes, runs, plan };
}

/** Asks for the plan again a moment after the document changed, and shows the one before until it is here. */
function usePlan(boardId: string, board: Board, loaded: boolean) {
  const client = useQueryClient();
  const plan = useQuery<BoardPlan>({
    queryKey: boardKeys.plan(boardId),
    queryFn: () => boardCalls.plan(boardId),
    enabled: loaded,
    retry: false,
    staleTime: 60_000,
  });
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const changed = () => {
      setAsking(true);
      clearTimeout(timer);
      timer = setTimeout(() => {
        setAsking(false);
        void client.invalidateQueries({ queryKey: boardKeys.plan(boardId) });
      }, PLAN_AFTER_MS);
    };
    board.doc.on("update", changed);
    return () => {
      clearTimeout(timer);
      board.doc.off("update", changed);
    };
  }, [board, boardId, client]);
  return { ...plan, asking: asking || plan.isFetching };
}

/** When a run ends, what it made and what it cost are asked for anew. */
function useEnded(boardId: string, runs: BoardRun[] | undefined) {
  const client = useQueryClient();
  const going = useRef(new Set<string>());
  useEffect(() => {
    const now = new Set(runs?.filter((run) => !isOverBoardRun(run)).map((run) => run.id));
    const ended = [...going.current].some((id) => !now.has(id));
    going.current = now;
    if (ended) refreshResults(client, boardId);
  }, [runs, boardId, client]);
}

function refreshResults(client: QueryClient, boardId: string) {
  for (const queryKey of [boardKeys.takes(boardId), boardKeys.plan(boardId), keys.balance, keys.assets, keys.runs])
    void client.invalidateQueries({ queryKey });
}

/** A message of the server on the board's socket. It wakes the queries; they read the truth. */
export function useStatusMessages(boardId: string): (message: unknown) => void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useRef((message: unknown) => {
    const type = typeof message === "object" && message !== null ? String((message as { type?: unknown }).type) : "";
    if (type.startsWith("comment")) void client.invalidateQueries({ queryKey: boardKeys.comments(boardId) });
    // Progress may be told many times a second; it is read a few times.
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      void client.invalidateQueries({ queryKey: boardKeys.runs(boardId) });
      if (!type.startsWith("run")) refreshResults(client, boardId);
    }, 150);
  }).current;
}
