import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useParams, useSearchParams } from "react-router";
import { boardQuery, type BoardSummary } from "../../api/boards";
import { ProblemError } from "../../api/problem";
import { toolsQuery } from "../../api/queries";
import type { Tool } from "../../api/types";
import { useTitle } from "../../app/Page";
import { useSession } from "../../app/session";
import { ButtonLink, Empty, Loaded } from "../../ui";
import { BoardBar } from "./BoardBar";
import { BoardNotice } from "./BoardNotice";
import { BoardProvider, SelectedProvider, type Open, type View } from "./context";
import { Board } from "./doc/board";
import { BoardConnection } from "./doc/connection";
import { Facts } from "./doc/facts";
import { colorOf, Peers } from "./doc/peers";
import { Panel } from "./panel/Panel";
import { useBoardData, useStatusMessages } from "./useBoardData";
import { useBring } from "./useBring";
import { useCover } from "./useCover";
import css from "./Board.module.css";

const loadCanvas = () => import("./canvas/Canvas");
const Canvas = lazy(loadCanvas);
const Storyboard = lazy(() => import("./storyboard/Storyboard"));
const Timeline = lazy(() => import("./timeline/Timeline"));
const VIEWS: Record<View, React.ComponentType> = { canvas: Canvas, storyboard: Storyboard, timeline: Timeline };

const PHONE_PX = 720;
// Fetched beside the document, not after it.
if (innerWidth > PHONE_PX) void loadCanvas();
const NO_TOOLS: readonly Tool[] = [];

/** A board: one document, looked at as a canvas, as a storyboard and as a timeline. */
export default function BoardPage() {
  const { id = "" } = useParams();
  const summary = useQuery(boardQuery(id));
  const tools = useQuery(toolsQuery);
  if (!summary.data)
    return (
      <div className={css.lost}>
        <h1 className="sr-only">Board</h1>
        {isGone(summary.error) ? (
          <Empty
            title="There is no such board for you"
            actions={
              <ButtonLink look="primary" to="/boards">
                All boards
              </ButtonLink>
            }
          >
            It was deleted, or whoever owns it has not shared it with you. A link of theirs lets you in.{" "}
            <a href={`/docs/errors/${GONE}`} target="_blank" rel="noreferrer">
              <code>{GONE}</code>
            </a>
          </Empty>
        ) : (
          <Loaded of={summary} waiting="Opening the board…">
            {() => null}
          </Loaded>
        )}
      </div>
    );
  return <OpenBoard key={id} summary={summary.data} tools={tools.data ?? NO_TOOLS} />;
}

const GONE = "board_unknown";
const isGone = (error: unknown) => error instanceof ProblemError && error.problem.code === GONE;

interface Stores {
  board: Board;
  facts: Facts;
  connection: BoardConnection;
  peers: Peers;
}

/** Opened with the page and closed with it. */
function useStores(boardId: string): Stores | null {
  const told = useStatusMessages(boardId);
  const [stores, setStores] = useState<Stores | null>(null);
  useEffect(() => {
    const board = new Board();
    const facts = new Facts(board);
    const connection = new BoardConnection(board, boardId, told);
    const peers = new Peers(connection.awareness);
    setStores({ board, facts, connection, peers });
    return () => {
      peers.destroy();
      connection.destroy();
      facts.destroy();
      board.destroy();
    };
  }, [boardId, told]);
  return stores;
}

function OpenBoard({ summary, tools }: { summary: BoardSummary; tools: readonly Tool[] }) {
  const stores = useStores(summary.id);
  return stores ? <Studio stores={stores} summary={summary} tools={tools} /> : null;
}

function Studio({ stores, summary, tools }: { stores: Stores; summary: BoardSummary; tools: readonly Tool[] }) {
  const { board, facts, connection, peers } = stores;
  const { me, project, organisation } = useSession();
  const [view, setView] = useView();
  const [selected, setSelected] = useState<readonly string[]>([]);
  const [side, setSide] = useState<"node" | "comments">("node");
  useTitle(summary.title || "Board");
  useEffect(() => peers.say("user", { name: me.user.name, color: colorOf(me.user.id) }), [peers, me]);
  useEffect(() => peers.say("view", view), [peers, view]);

  const select = useCallback(
    (ids: readonly string[]) => {
      setSelected((old) => (sameIds(old, ids) ? old : ids));
      if (ids.length > 0) setSide("node");
      peers.say("selected", ids);
    },
    [peers],
  );
  const told = useSyncExternalStore(connection.subscribe, () => connection.snapshot);
  const role = told.role ?? summary.role;
  // What is changed on a board that the server closed would reach nobody.
  const canEdit = told.state !== "closed" && (told.mayEdit ?? (role === "owner" || role === "editor"));
  const data = useBoardData(summary.id, board, facts, tools, told.loaded);
  const projectId = summary.project_id || project?.id || null;
  const isHome = summary.organisation_id === organisation.id;
  const { bring, arriving } = useBring(summary.id, board, projectId, select, isHome);
  useCover(summary, board, facts, told.loaded && canEdit && isHome);
  const open = useMemo<Open>(
    () => ({
      id: summary.id,
      board,
      facts,
      connection,
      peers,
      tools,
      role,
      canEdit,
      canRun: canEdit && isHome,
      isHome,
      canComment: role !== "viewer",
      projectId,
      select,
      bring,
    }),
    [summary.id, isHome, role, board, facts, connection, peers, tools, canEdit, projectId, select, bring],
  );
  const View = VIEWS[view];
  return (
    <BoardProvider value={open}>
      <div className={css.frame} data-view={view}>
        <BoardBar
          summary={summary}
          view={view}
          onView={setView}
          data={data}
          commenting={side === "comments"}
          onComments={() => setSide(side === "comments" ? "node" : "comments")}
        />
        <BoardNotice />
        <div className={css.work}>
          <SelectedProvider value={useMemo(() => ({ selected, arriving }), [selected, arriving])}>
            <Suspense fallback={<p className={css.opening}>Opening…</p>}>
              <View />
            </Suspense>
            <Panel
              selected={selected}
              side={side}
              onClose={() => (side === "comments" ? setSide("node") : select([]))}
            />
          </SelectedProvider>
        </div>
      </div>
    </BoardProvider>
  );
}

function sameIds(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}

/** The view in the address; without one, the storyboard on a phone, where no canvas has room. */
function useView(): [View, (view: View) => void] {
  const [search, setSearch] = useSearchParams();
  const first = useRef<View>(innerWidth <= PHONE_PX ? "storyboard" : "canvas");
  const named = search.get("view");
  const view = named && named in VIEWS ? (named as View) : first.current;
  return [view, (next) => setSearch((old) => (old.set("view", next), old), { replace: true })];
}
