import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useLiveRun } from "../../api/live";
import { assetQuery, runQuery, toolsQuery } from "../../api/queries";
import type { Tool } from "../../api/types";
import { useTitle } from "../../app/Page";
import { useSession } from "../../app/session";
import { useShortcuts } from "../../app/shortcuts";
import { isOver } from "../../lib/phases";
import { needsAsset } from "../../lib/schema";
import { useToasts } from "../../ui/toasts";
import { DropAnywhere } from "./DropAnywhere";
import { Inspector } from "./Inspector";
import { Stage } from "./Stage";
import { Start } from "./Start";
import css from "./Studio.module.css";
import { Takes } from "./Takes";
import { useKeep } from "./useKeep";
import { useRunActions } from "./useRunActions";
import { useShown } from "./useShown";
import { useTakes } from "./useTakes";
import { useUploads } from "./useUploads";

const NOTHING = { asset: null, run: null, vs: null, new: null };

/** Drop a photograph, choose what happens to it, see the price, run, compare. */
export default function Studio() {
  useTitle("Studio");
  const { project } = useSession();
  const { say } = useToasts();
  const shown = useShown();
  const { assetId, runId, againstId, fresh, show } = shown;
  // At once, before the address follows: a choice must not wait for a navigation.
  const [tool, setTool] = useState(shown.tool);
  const uploads = useUploads(project?.id ?? null, (asset) => show({ ...NOTHING, asset: asset.id }));
  const { start, cancel } = useRunActions(project?.id ?? null, (run) => show({ run: run.id, vs: null }));
  const tools = useQuery(toolsQuery);
  const asset = useQuery({ ...assetQuery(assetId ?? ""), enabled: assetId !== null });
  const run = useQuery({ ...runQuery(runId ?? ""), enabled: runId !== null });
  const against = useQuery({ ...runQuery(againstId ?? ""), enabled: againstId !== null });
  useLiveRun(runId, run.data ? isOver(run.data) : false);
  const words = wordsTool(tools.data, tool ?? run.data?.tool ?? null, assetId);
  const { takes, compare } = useTakes(shown, run.data, words?.name ?? null);
  const keep = useKeep((runId) => show({ run: runId, vs: null }));
  useEffect(() => {
    if (fresh) show(NOTHING, true);
  }, [fresh, show]);

  const picker = useRef<HTMLInputElement>(null);
  const choose = () => picker.current?.click();
  useShortcuts({ u: choose });
  const take = (files: FileList | null) => {
    const [first, ...others] = [...(files ?? [])];
    if (!first) return;
    if (others.length > 0) say({ title: `${first.name} is taken`, text: "One photograph at a time." });
    uploads.send(first);
  };

  return (
    <DropAnywhere onFiles={take}>
      <h1 className="sr-only">Studio</h1>
      <input
        ref={picker}
        type="file"
        accept="image/*,video/*,audio/*"
        hidden
        data-testid="file"
        onChange={(event) => {
          take(event.target.files);
          event.target.value = "";
        }}
      />
      {!assetId && !uploads.sending && !words ? (
        <Start onChoose={choose} onPick={(id) => show({ asset: id })} tools={tools.data ?? []} />
      ) : (
        <div className={css.studio}>
          <Stage
            asset={asset}
            words={words}
            sending={uploads.sending}
            run={runId ? run : null}
            against={againstId ? against.data : undefined}
            starting={start.isPending}
            onCancel={() => runId && cancel.mutate(runId)}
            onChoose={choose}
            onUse={(id) => show({ ...NOTHING, asset: id })}
            onSource={() => show({ run: null, vs: null })}
            onCompare={compare}
            onKeep={keep}
          />
          <Takes
            source={asset.data}
            takes={takes}
            selected={runId}
            against={againstId}
            onSelect={(id) => show({ run: id, vs: null })}
            onAgainst={(id) => show({ vs: id })}
          />
          <Inspector
            tools={tools}
            chosen={tool ?? run.data?.tool ?? null}
            onTool={(name) => {
              setTool(name);
              show({ tool: name }, true);
            }}
            asset={uploads.sending ? null : (asset.data ?? null)}
            from={run.data ?? null}
            busy={uploads.sending ? "The photograph is still being sent" : null}
            starting={start.isPending}
            error={start.error}
            onRun={start.mutate}
          />
        </div>
      )}
    </DropAnywhere>
  );
}

/** The chosen tool, where nothing is on the stage and nothing need be. */
function wordsTool(tools: Tool[] | undefined, name: string | null, assetId: string | null): Tool | null {
  if (assetId !== null) return null;
  const tool = tools?.find((one) => one.name === name);
  return tool && !needsAsset(tool.input) ? tool : null;
}
