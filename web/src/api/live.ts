import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { keys } from "./queries";
import { api } from "./http";
import type { Run } from "./types";
import { isOver } from "../lib/phases";

const POLL_WHILE_CUT_OFF_MS = 2_000;

/**
 * Keeps the cached run up to date from its event stream. While the stream is cut off the run is asked for instead,
 * so the page never shows a state that nobody checked.
 */
export function useLiveRun(runId: string | null, over: boolean): void {
  const client = useQueryClient();
  useEffect(() => {
    if (!runId || over) return;
    const store = (run: Run) => {
      client.setQueryData(keys.run(runId), run);
      if (!isOver(run)) return;
      source.close();
      void client.invalidateQueries({ queryKey: keys.runs });
      void client.invalidateQueries({ queryKey: keys.balance });
      void client.invalidateQueries({ queryKey: keys.assets });
    };
    const source = new EventSource(`/v1/runs/${runId}/events`);
    source.addEventListener("run", (event) => store(JSON.parse((event as MessageEvent<string>).data) as Run));
    const poll = setInterval(() => {
      if (source.readyState === EventSource.OPEN) return;
      api.get<Run>(`/v1/runs/${runId}`).then(store, () => undefined);
    }, POLL_WHILE_CUT_OFF_MS);
    return () => {
      source.close();
      clearInterval(poll);
    };
  }, [runId, over, client]);
}
