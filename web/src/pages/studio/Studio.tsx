import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { api } from "../../api/http";
import { useLiveRun } from "../../api/live";
import { assetQuery, keys, runQuery, runsQuery, toolsQuery } from "../../api/queries";
import type { Run } from "../../api/types";
import { useTitle } from "../../app/Page";
import { useSession } from "../../app/session";
import { useShortcuts } from "../../app/shortcuts";
import { idempotencyKey } from "../../lib/keys";
import { contentUrl } from "../../lib/media";
import { isOver } from "../../lib/phases";
import { assetOf } from "../../lib/schema";
import { Icon } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { Inspector, type Order } from "./Inspector";
import { Start } from "./Start";
import { Stage } from "./Stage";
import css from "./Studio.module.css";
import { Takes } from "./Takes";
import { useUploads } from "./useUploads";

const HIDDEN_TOOLS: ReadonlySet<string> = new Set(["echo"]);

/** Drop a photograph, choose what happens to it, see the price, run, compare. What is shown is in the address. */
export default function Studio() {
  useTitle("Studio");
  const { project } = useSession();
  const client = useQueryClient();
  const { say, sayProblem } = useToasts();
  const [params, setParams] = useSearchParams();
  const assetId = params.get("asset");
  const runId = params.get("run");
  const againstId = params.get("vs");
  const show = (next: Record<string, string | null>, replace = false) =>
    setParams((old) => {
      const search = new URLSearchParams(old);
      for (const [key, value] of Object.entries(next)) {
        if (value) search.set(key, value);
        else search.delete(key);
      }
      return search;
    }, { replace });

  const uploads = useUploads(project?.id ?? null, (asset) => show({ asset: asset.id, run: null, vs: null, new: null }));
  const tools = useQuery(toolsQuery);
  const offered = tools.data?.filter((tool) => !HIDDEN_TOOLS.has(tool.name)) ?? [];
  const asset = useQuery({ ...assetQuery(assetId ?? ""), enabled: assetId !== null });
  const run = useQuery({ ...runQuery(runId ?? ""), enabled: runId !== null });
  const against = useQuery({ ...runQuery(againstId ?? ""), enabled: againstId !== null });
  useLiveRun(runId, run.data ? isOver(run.data) : false);

  const allRuns = useInfiniteQuery({ ...runsQuery, enabled: assetId !== null });
  const takes = useMemo(() => takesOf(allRuns.data?.pages.flatMap((page) => page.items) ?? [], assetId, run.data), [allRuns.data, assetId, run.data]);

  const start = useMutation({
    mutationFn: (order: Order & { key: string }) =>
      api.post<Run>(
        "/v1/runs",
        { tool: order.tool, version: order.version, input: order.input, max_price_micro: order.price_micro, ...(project ? { project_id: project.id } : {}) },
        { "idempotency-key": order.key },
      ),
    onSuccess: (created) => {
      client.setQueryData(keys.run(created.id), created);
      void client.invalidateQueries({ queryKey: keys.runs });
      void client.invalidateQueries({ queryKey: keys.balance });
      show({ run: created.id, vs: null });
    },
  });
  const cancel = useMutation({
    mutationFn: (id: string) => api.post<Run>(`/v1/runs/${id}/cancel`),
    onMutate: (id) =>
      client.setQueryData<Run>(keys.run(id), (old) => (old && !isOver(old) ? { ...old, state: "canceling" as const } : old)),
    onSuccess: (answer) => {
      if (answer?.id) client.setQueryData(keys.run(answer.id), answer);
    },
    onError: (error, id) => {
      sayProblem(error);
      void client.invalidateQueries({ queryKey: keys.run(id) });
    },
  });

  const picker = useRef<HTMLInputElement>(null);
  const take = (files: FileList | File[] | null) => {
    const [first, ...others] = [...(files ?? [])];
    if (!first) return;
    if (others.length > 0) say({ title: `${first.name} is taken`, text: "One photograph at a time: drop the others after it." });
    uploads.send(first);
  };
  const choose = () => picker.current?.click();
  const step = (by: number) => {
    const at = takes.findIndex((one) => one.id === runId);
    const next = takes[at < 0 ? 0 : at + by];
    if (next) show({ run: next.id, vs: null }, true);
  };
  const compareWithPrevious = () => {
    const done = takes.filter((one) => one.state === "succeeded");
    const other = done[done.findIndex((one) => one.id === runId) + 1] ?? done.find((one) => one.id !== runId);
    if (againstId) show({ vs: null });
    else if (runId && other) show({ vs: other.id });
  };
  useShortcuts({
    u: choose,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    c: compareWithPrevious,
    d: () => {
      const output = run.data?.outputs[0];
      if (output) download(contentUrl(output.id), output.name);
    },
    Escape: () => show({ vs: null }),
  });
  useEffect(() => {
    if (params.get("new")) show({ asset: null, run: null, vs: null, new: null }, true);
  }, [params.get("new")]);

  const empty = !assetId && !uploads.sending;
  return (
    <DropAnywhere onFiles={take}>
      <h1 className="sr-only">Studio</h1>
      <input
        ref={picker}
        type="file"
        accept="image/*"
        hidden
        data-testid="file"
        onChange={(event) => {
          take(event.target.files);
          event.target.value = "";
        }}
      />
      {empty ? (
        <Start onChoose={choose} onPick={(id) => show({ asset: id })} tools={offered} />
      ) : (
        <div className={css.studio}>
          <Stage
            asset={asset}
            sending={uploads.sending}
            run={runId ? run : null}
            against={againstId ? against.data : undefined}
            order={start.isPending ? start.variables : null}
            onCancel={() => runId && cancel.mutate(runId)}
            onChoose={choose}
            onUse={(id) => show({ asset: id, run: null, vs: null })}
            onSource={() => show({ run: null, vs: null })}
            onCompare={takes.filter((one) => one.state === "succeeded").length > 1 ? compareWithPrevious : null}
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
            offered={offered}
            chosen={params.get("tool") ?? run.data?.tool ?? null}
            onTool={(name) => show({ tool: name }, true)}
            asset={uploads.sending ? null : (asset.data ?? null)}
            from={run.data ?? null}
            busy={uploads.sending ? "The photograph is still being sent" : null}
            starting={start.isPending}
            error={start.error}
            onRun={(order) => start.mutate({ ...order, key: idempotencyKey() })}
          />
        </div>
      )}
    </DropAnywhere>
  );
}

function download(url: string, name: string) {
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
}

/** The runs on this picture, newest first; the one that is open is always among them, as it is now. */
function takesOf(runs: Run[], assetId: string | null, open: Run | undefined): Run[] {
  const list = runs.filter((run) => assetOf(run.input) === assetId).map((run) => (run.id === open?.id ? open : run));
  if (open && assetOf(open.input) === assetId && !list.some((run) => run.id === open.id)) list.unshift(open);
  return list;
}

function DropAnywhere({ onFiles, children }: { onFiles: (files: FileList) => void; children: React.ReactNode }) {
  const [over, setOver] = useState(false);
  const current = useRef(onFiles);
  current.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const move = (event: DragEvent) => carriesFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      current.current(event.dataTransfer.files);
    };
    const paste = (event: ClipboardEvent) => {
      if (event.clipboardData?.files.length) current.current(event.clipboardData.files);
    };
    const stop = new AbortController();
    const { signal } = stop;
    addEventListener("dragenter", enter, { signal });
    addEventListener("dragleave", leave, { signal });
    addEventListener("dragover", move, { signal });
    addEventListener("drop", drop, { signal });
    addEventListener("paste", paste, { signal });
    return () => stop.abort();
  }, []);
  return (
    <>
      {children}
      {over && (
        <div className={css.dropping}>
          <p>
            <Icon name="upload" size={20} /> Let go anywhere
          </p>
        </div>
      )}
    </>
  );
}
