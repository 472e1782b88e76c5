import * as Popover from "@radix-ui/react-popover";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useRef } from "react";
import { Link } from "react-router";
import { boardCalls, boardKeys, isOverBoardRun, type BoardPlan, type BoardRun } from "../../api/boards";
import { balanceQuery, keys } from "../../api/queries";
import { count, credits, creditWord, duration, readable } from "../../lib/format";
import { idempotencyKey } from "../../lib/keys";
import { Button, Icon, Kbd, ProblemView } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { useEdges, useNodes, useOpen } from "./context";
import { runnable, type Runnable } from "./doc/plan";
import type { useBoardData } from "./useBoardData";
import { useBoardKeys } from "./useBoardKeys";
import { nodeTitle } from "./words";
import css from "./Run.module.css";

type Data = ReturnType<typeof useBoardData>;

/** "Run 3 stale · 41 credits · about 40 s": what would run, at a price that is the most that may be taken. */
export function RunButton({ data }: { data: Data }) {
  const run = useRunBoard();
  const going = data.runs.data?.find((one) => !isOverBoardRun(one) && one.kind !== "film");
  const plan = data.plan.data;
  const edges = useEdges();
  const ready = useMemo(() => (plan ? runnable(plan, edges) : null), [plan, edges]);
  const hasTools = useNodes().some((node) => node.kind === "tool");
  const because = blocked(data, ready, run.isPending, hasTools);
  const start = () => {
    if (because || !ready) return;
    const only = ready.some ? { nodes: ready.nodes.map((one) => one.node) } : {};
    run.mutate({ ...only, max_price_micro: ready.price_micro });
  };
  useBoardKeys({ "mod+enter": start });
  if (going) return <Going run={going} />;
  return (
    <div className={css.split}>
      <Button look="primary" because={because} onClick={start} data-testid="run-board" className={css.run}>
        <Icon name="play" />
        {label(plan, ready, hasTools)}
      </Button>
      <PlanPopover data={data} plan={plan} ready={ready} error={run.error} onRun={start} because={because} />
    </div>
  );
}

function label(plan: BoardPlan | undefined, ready: Runnable | null, hasTools: boolean): React.ReactNode {
  if (!plan || !ready) return <span>Run</span>;
  if (ready.nodes.length === 0) {
    const done = hasTools ? "All up to date" : "Nothing to run";
    return <span>{plan.problems.length ? "Cannot run yet" : done}</span>;
  }
  return (
    <>
      <span>
        Run {count(ready.nodes.length)} <span className={css.wide}>stale</span>
      </span>
      <span className={css.price}>
        {credits(ready.price_micro)} {creditWord(ready.price_micro)}
      </span>
      <span className={css.time}>about {duration(ready.run_ms)}</span>
    </>
  );
}

function blocked(data: Data, ready: Runnable | null, starting: boolean, hasTools: boolean): string | null {
  const plan = data.plan.data;
  if (starting) return "It is being started";
  if (!plan || !ready) return data.plan.error ? "The plan could not be made" : "Asking what would run";
  if (ready.nodes.length === 0) {
    if (plan.problems.length > 0) return problemText(plan.problems[0]);
    return hasTools
      ? "Every tool has a take of what it would make now"
      : "Put a tool on the board: its price stands here";
  }
  if (data.plan.asking) return "Asking for the price of what changed";
  return null;
}

function problemText(problem: BoardPlan["problems"][number] | undefined): string {
  return readable(problem?.message || problem?.code || "") || "Something keeps it from running";
}

/** Starts a run of all that is stale, or of some nodes. The key stays until the answer is here: a retry starts nothing twice. */
export function useRunBoard() {
  const { id } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const key = useRef(idempotencyKey());
  return useMutation({
    mutationFn: (order: { nodes?: string[]; force?: boolean; max_price_micro: number }) =>
      boardCalls.run(id, order, key.current),
    onSuccess: (run) => {
      key.current = idempotencyKey();
      client.setQueryData<BoardRun[]>(boardKeys.runs(id), (old) => [
        run,
        ...(old ?? []).filter((one) => one.id !== run.id),
      ]);
      void client.invalidateQueries({ queryKey: keys.balance });
    },
    onError: (error) => {
      key.current = idempotencyKey();
      void client.invalidateQueries({ queryKey: boardKeys.plan(id) });
      sayProblem(error);
    },
  });
}

function Going({ run }: { run: BoardRun }) {
  const { id } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const done = run.children.filter((child) => child.state === "succeeded").length;
  const cancel = useMutation({
    mutationFn: () => boardCalls.cancel(run.id),
    onSettled: () => client.invalidateQueries({ queryKey: boardKeys.runs(id) }),
    onError: sayProblem,
  });
  const stopping = run.state === "canceling" || cancel.isPending;
  return (
    <div className={css.going}>
      <p role="status">
        <Icon name="clock" />
        {stopping
          ? "Stopping, until the workers confirm"
          : run.state === "queued"
            ? "Queued"
            : `Running ${Math.min(done + 1, run.children.length)} of ${run.children.length}`}
      </p>
      <Button icon="stop" because={stopping ? "It is being stopped" : null} onClick={() => cancel.mutate()}>
        Cancel
      </Button>
    </div>
  );
}

/** What the number is made of: each node with its price, what keeps others from running, what is left after. */
function PlanPopover({
  data,
  plan,
  ready,
  error,
  because,
  onRun,
}: {
  data: Data;
  plan: BoardPlan | undefined;
  ready: Runnable | null;
  error: unknown;
  because: string | null;
  onRun: () => void;
}) {
  const { board, facts, select } = useOpen();
  const balance = useQuery(balanceQuery);
  const title = (id: string) => nodeTitle(board.node(id), facts.tool(board.node(id)));
  const left = balance.data && ready ? balance.data.available_micro - ready.price_micro : null;
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <Button look={because ? "plain" : "primary"} className={css.more} aria-label="What would run, and for how much">
          {plan && plan.problems.length > 0 ? <span className={css.problems}>{plan.problems.length}</span> : null}
          <span className={css.down}>
            <Icon name="chevron" size={14} />
          </span>
        </Button>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          className={css.plan}
          aria-label="What would run"
          align="end"
          sideOffset={8}
          collisionPadding={8}
        >
          <h2>What would run</h2>
          {Boolean(data.plan.error) && !plan && (
            <ProblemView error={data.plan.error} onRetry={() => void data.plan.refetch()} />
          )}
          {Boolean(error) && <ProblemView error={error} />}
          {plan && plan.stale.length === 0 && plan.problems.length === 0 && (
            <p className={css.quiet}>
              Nothing. A tool is stale when what it is fed, or one of its settings, is not what its takes were made of.
            </p>
          )}
          <ul className={css.lines}>
            {ready?.nodes.map((one) => (
              <li key={one.node}>
                <Popover.Close asChild>
                  <button type="button" onClick={() => select([one.node])}>
                    {title(one.node)}
                  </button>
                </Popover.Close>
                <span>{duration(one.run_ms)}</span>
                <b>{credits(one.price_micro)}</b>
              </li>
            ))}
          </ul>
          {plan && plan.problems.length > 0 && (
            <ul className={css.faults} aria-label="What keeps it from running">
              {plan.problems.map((problem, index) => (
                <li key={index}>
                  <Icon name="warn" size={14} />
                  <span>
                    {problem.node && (
                      <Popover.Close asChild>
                        <button type="button" onClick={() => problem.node && select([problem.node])}>
                          {title(problem.node)}
                        </button>
                      </Popover.Close>
                    )}{" "}
                    {problemText(problem)} <a href={`/docs/errors/${problem.code}`}>{problem.code}</a>
                  </span>
                </li>
              ))}
            </ul>
          )}
          {ready && ready.nodes.length > 0 && (
            <>
              <dl className={css.sum}>
                <dt>Together, at most</dt>
                <dd>
                  {credits(ready.price_micro)} {creditWord(ready.price_micro)}
                </dd>
                {left !== null && (
                  <>
                    <dt>Left after it</dt>
                    <dd data-bad={left < 0 || undefined}>{left < 0 ? "not enough" : credits(left)}</dd>
                  </>
                )}
              </dl>
              {left !== null && left < 0 && (
                <p className={css.quiet}>
                  <Link to="/billing">See where credits come from</Link>, or run one node alone.
                </p>
              )}
              <Popover.Close asChild>
                <Button look="primary" because={because} onClick={onRun}>
                  Run <Kbd>⌘↵</Kbd>
                </Button>
              </Popover.Close>
            </>
          )}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
