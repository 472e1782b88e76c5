import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api } from "../../api/http";
import { OFFLINE_CODE, ProblemError } from "../../api/problem";
import { keys } from "../../api/queries";
import type { Run } from "../../api/types";
import { idempotencyKey } from "../../lib/keys";
import { isOver } from "../../lib/phases";
import { useToasts } from "../../ui/toasts";
import type { Order } from "./Inspector";

/** Starting and canceling runs, each safe to repeat. */
export function useRunActions(projectId: string | null, onStarted: (run: Run) => void) {
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const unanswered = useRef<{ body: string; key: string } | null>(null);

  const start = useMutation({
    mutationFn: (order: Order) => {
      const body = {
        tool: order.tool,
        version: order.version,
        input: order.input,
        max_price_micro: order.price_micro,
        ...(projectId ? { project_id: projectId } : {}),
      };
      // An order whose answer was lost may have been accepted: sent again it must be the same order, not a second one.
      const text = JSON.stringify(body);
      const key = unanswered.current?.body === text ? unanswered.current.key : idempotencyKey();
      unanswered.current = { body: text, key };
      return api.post<Run>("/v1/runs", body, { "idempotency-key": key });
    },
    onSuccess: (run) => {
      unanswered.current = null;
      client.setQueryData(keys.run(run.id), run);
      void client.invalidateQueries({ queryKey: keys.runs });
      void client.invalidateQueries({ queryKey: keys.balance });
      onStarted(run);
    },
    onError: (error) => {
      const lost = error instanceof ProblemError && (error.code === OFFLINE_CODE || error.problem.status >= 500);
      if (!lost) unanswered.current = null;
    },
  });

  const cancel = useMutation({
    mutationFn: (id: string) => api.post<Run>(`/v1/runs/${id}/cancel`),
    onMutate: (id) =>
      client.setQueryData<Run>(keys.run(id), (old) =>
        old && !isOver(old) ? { ...old, state: "canceling" as const } : old,
      ),
    onSuccess: (run) => client.setQueryData(keys.run(run.id), run),
    onError: (error, id) => {
      sayProblem(error);
      void client.invalidateQueries({ queryKey: keys.run(id) });
    },
  });
  return { start, cancel };
}
