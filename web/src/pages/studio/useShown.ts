import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** What the studio shows is in the address, so that a reload, a link and the back button keep it. */
export interface Shown {
  assetId: string | null;
  runId: string | null;
  againstId: string | null;
  tool: string | null;
  /** Somebody asked for an empty stage. */
  fresh: boolean;
  show: (change: Change, replace?: boolean) => void;
}

type Change = Partial<Record<"asset" | "run" | "vs" | "tool" | "new", string | null>>;

export function useShown(): Shown {
  const [params, setParams] = useSearchParams();
  const show = useCallback(
    (change: Change, replace = false) =>
      setParams(
        (old) => {
          const search = new URLSearchParams(old);
          for (const [key, value] of Object.entries(change)) {
            if (value) search.set(key, value);
            else search.delete(key);
          }
          return search;
        },
        { replace },
      ),
    [setParams],
  );
  return {
    assetId: params.get("asset"),
    runId: params.get("run"),
    againstId: params.get("vs"),
    tool: params.get("tool"),
    fresh: params.has("new"),
    show,
  };
}
