import { useQueryClient } from "@tanstack/react-query";
import { api } from "../../api/http";
import { keys } from "../../api/queries";
import type { Run } from "../../api/types";
import { takeLabel } from "../../lib/schema";
import { useToasts } from "../../ui/toasts";

/** Of two takes one keeps one: what the other made is deleted a moment later, unless one undoes it. */
export function useKeep(show: (runId: string) => void): (kept: Run, other: Run) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (kept, other) => {
    show(kept.id);
    later(
      {
        title: `“${takeLabel(kept.input)}” is kept`,
        text: `What “${takeLabel(other.input)}” made is being deleted from the library. Its run stays in the list.`,
      },
      () => {
        const gone = other.outputs.filter((output) => output.id !== "");
        void Promise.all(gone.map((output) => api.delete(`/v1/assets/${output.id}`)))
          .catch(sayProblem)
          .finally(() => {
            void client.invalidateQueries({ queryKey: keys.assets });
            void client.invalidateQueries({ queryKey: keys.runs });
          });
      },
      () => undefined,
    );
  };
}
