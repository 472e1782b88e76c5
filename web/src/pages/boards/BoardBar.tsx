import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState } from "react";
import { Link } from "react-router";
import { boardCalls, boardKeys, type BoardSummary } from "../../api/boards";
import { postQuery } from "../../api/social";
import { Button, Icon, Tip, type IconName } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { Face } from "./Face";
import { useConnection, useOpen, usePeers, type View } from "./context";
import { RunButton } from "./RunButton";
import type { useBoardData } from "./useBoardData";
import css from "./Board.module.css";

const ShareDialog = lazy(() => import("./share/ShareDialog"));
const ExportDialog = lazy(() => import("./film/ExportDialog"));

const VIEWS: { view: View; label: string; icon: IconName }[] = [
  { view: "canvas", label: "Canvas", icon: "board" },
  { view: "storyboard", label: "Storyboard", icon: "storyboard" },
  { view: "timeline", label: "Timeline", icon: "timeline" },
];

/** The thin bar over a board: its name, the three views, who is here, and what costs money. */
export function BoardBar({
  summary,
  view,
  onView,
  data,
  commenting,
  onComments,
}: {
  summary: BoardSummary;
  view: View;
  onView: (view: View) => void;
  data: ReturnType<typeof useBoardData>;
  commenting: boolean;
  onComments: () => void;
}) {
  const [dialog, setDialog] = useState<"share" | "export" | null>(null);
  const { canRun, role } = useOpen();
  return (
    <header className={css.bar}>
      <div className={css.barSide}>
        <Tip text="All boards">
          <Link to="/boards" className={css.back} aria-label="All boards">
            <Icon name="chevron" />
          </Link>
        </Tip>
        <Title summary={summary} />
        {summary.parent_post_id && <Parent post={summary.parent_post_id} />}
        <Presence />
      </div>
      <div className={css.views} role="group" aria-label="View">
        {VIEWS.map((one) => (
          <button
            key={one.view}
            type="button"
            className={css.viewButton}
            aria-pressed={view === one.view}
            onClick={() => onView(one.view)}
          >
            <Icon name={one.icon} />
            <span>{one.label}</span>
          </button>
        ))}
      </div>
      <div className={css.barSide} data-end>
        <Tip text="Comments">
          <Button look="quiet" icon="comment" aria-label="Comments" aria-pressed={commenting} onClick={onComments} />
        </Tip>
        {role === "owner" && (
          <Tip text="Share">
            <Button look="quiet" icon="share" aria-label="Share" onClick={() => setDialog("share")} />
          </Tip>
        )}
        <Button icon="film" className={css.exportButton} aria-label="Film" onClick={() => setDialog("export")}>
          <span>Film</span>
        </Button>
        {canRun && <RunButton data={data} />}
      </div>
      <Suspense>
        {dialog === "share" && <ShareDialog summary={summary} onClose={() => setDialog(null)} />}
        {dialog === "export" && <ExportDialog title={summary.title} runs={data.runs} onClose={() => setDialog(null)} />}
      </Suspense>
    </header>
  );
}

const TITLE_MAX = 120;

function Title({ summary }: { summary: BoardSummary }) {
  const { canEdit } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const [value, setValue] = useState(summary.title);
  useEffect(() => setValue(summary.title), [summary.title]);
  const save = () => {
    const title = value.trim();
    if (!title || title === summary.title) return setValue(summary.title);
    const before = summary;
    client.setQueryData(boardKeys.board(summary.id), { ...summary, title });
    boardCalls.rename(summary.id, title).then(
      () => client.invalidateQueries({ queryKey: boardKeys.boards }),
      (error: unknown) => {
        client.setQueryData(boardKeys.board(summary.id), before);
        sayProblem(error);
      },
    );
  };
  return (
    <h1 className={css.title}>
      {canEdit ? (
        <input
          aria-label="Name of the board"
          value={value}
          maxLength={TITLE_MAX}
          size={Math.max(8, Math.min(32, value.length))}
          spellCheck={false}
          onChange={(event) => setValue(event.target.value)}
          onBlur={save}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
            if (event.key === "Escape") setValue(summary.title);
          }}
        />
      ) : (
        <span>{summary.title}</span>
      )}
    </h1>
  );
}

/** What a remix was made of, one click away. */
function Parent({ post }: { post: string }) {
  const parent = useQuery({ ...postQuery(post), staleTime: Infinity });
  const text = parent.data
    ? `A remix of “${parent.data.title}” by ${parent.data.author.name}`
    : parent.error
      ? "A remix of a post that is no longer on the wall"
      : "A remix";
  return (
    <Tip text={text}>
      <Link to={`/community/${post}`} className={css.parent} aria-label={text}>
        <Icon name="remix" />
        <span>{parent.data ? parent.data.title : "Remix"}</span>
      </Link>
    </Tip>
  );
}

const FACES_MAX = 4;

/** Who is here, and in what state the connection is: always in words. */
function Presence() {
  const peers = usePeers();
  const { state, unsent } = useConnection();
  const word =
    state === "live"
      ? peers.length === 0
        ? "Saved"
        : ""
      : state === "opening"
        ? "Opening…"
        : state === "closed"
          ? "Closed"
          : unsent
            ? "Not sent yet"
            : "Not connected";
  return (
    <div className={css.presence}>
      <span className={css.connection} data-state={state} role="status">
        {word}
      </span>
      {peers.length > 0 && (
        <ul aria-label="Also here" className={css.faces}>
          {peers.slice(0, FACES_MAX).map((peer) => (
            <li key={peer.client}>
              <Tip text={`${peer.name}${peer.view ? `, on the ${peer.view}` : ""}`}>
                <span role="img" aria-label={peer.name}>
                  <Face id={peer.name} name={peer.name} color={peer.color} />
                </span>
              </Tip>
            </li>
          ))}
          {peers.length > FACES_MAX && <li className={css.faceMore}>+{peers.length - FACES_MAX}</li>}
        </ul>
      )}
    </div>
  );
}
