import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { runsQuery } from "../../api/queries";
import type { Run } from "../../api/types";
import { useShortcuts } from "../../app/shortcuts";
import { contentUrl } from "../../lib/media";
import { assetOf, assetsOf } from "../../lib/schema";
import type { Shown } from "./useShown";

/** The takes of the picture on the stage, and the keys that go through them. */
export function useTakes({ assetId, runId, againstId, show }: Shown, open: Run | undefined, wordsTool: string | null) {
  const runs = useInfiniteQuery({ ...runsQuery, enabled: assetId !== null || wordsTool !== null }).data;
  const takes = useMemo(
    () => takesOf(runs?.pages.flatMap((page) => page.items) ?? [], assetId, wordsTool, open),
    [runs, assetId, wordsTool, open],
  );
  const done = takes.filter((take) => take.state === "succeeded");
  const step = (by: number) => {
    const at = takes.findIndex((take) => take.id === runId);
    const next = takes[at < 0 ? 0 : at + by];
    if (next) show({ run: next.id, vs: null }, true);
  };
  const compare = () => {
    const other = done[done.findIndex((take) => take.id === runId) + 1] ?? done.find((take) => take.id !== runId);
    if (againstId) show({ vs: null });
    else if (runId && other) show({ vs: other.id });
  };
  useShortcuts({
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    c: compare,
    d: () => {
      const output = open?.outputs[0];
      if (output) download(contentUrl(output.id), output.name);
    },
    Escape: () => show({ vs: null }),
  });
  return { takes, compare: done.length > 1 ? compare : null };
}

function download(url: string, name: string) {
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
}

/** The runs on this picture, or of this tool of words, newest first; the open one always among them, as it is now. */
function takesOf(runs: Run[], assetId: string | null, wordsTool: string | null, open: Run | undefined): Run[] {
  const belongs = (run: Run) =>
    assetId === null ? run.tool === wordsTool && assetOf(run.input) === null : assetsOf(run.input).includes(assetId);
  const list = runs.filter(belongs).map((run) => (run.id === open?.id ? open : run));
  if (open && belongs(open) && !list.some((run) => run.id === open.id)) list.unshift(open);
  return list;
}
