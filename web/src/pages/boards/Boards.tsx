import { useInfiniteQuery, useMutation, useQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link, useNavigate } from "react-router";
import { boardCalls, boardKeys, boardsQuery, templatesQuery, type BoardSummary } from "../../api/boards";
import type { Page as ApiPage } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { useShortcuts } from "../../app/shortcuts";
import { count } from "../../lib/format";
import { Button, Icon, Loaded, Tag, When } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { roleWord } from "./words";
import css from "./Boards.module.css";

/** Every board that one may open, newest first; and where there is none, what a board is. */
export default function Boards() {
  const boards = useInfiniteQuery(boardsQuery);
  const create = useCreateBoard();
  const remove = useRemoveBoard();
  const shown = boards.data?.pages.flatMap((page) => page.items) ?? [];
  useShortcuts({ n: () => create.mutate(undefined) });
  return (
    <Page
      title="Boards"
      wide
      lead={shown.length > 0 ? "Shots, tools and the film that they become, on one canvas." : undefined}
      actions={
        shown.length > 0 && (
          <Button
            look="primary"
            icon="plus"
            because={create.isPending ? "It is being made" : null}
            onClick={() => create.mutate(undefined)}
          >
            New board
          </Button>
        )
      }
    >
      <Loaded of={boards} waiting="Fetching the boards…">
        {() =>
          shown.length > 0 ? (
            <>
              <ul className={css.wall}>
                {shown.map((board) => (
                  <BoardCard key={board.id} board={board} onRemove={() => remove(board)} />
                ))}
              </ul>
              {boards.hasNextPage && (
                <Button
                  className={css.more}
                  because={boards.isFetchingNextPage ? "They are being fetched" : null}
                  onClick={() => void boards.fetchNextPage()}
                >
                  Show more boards
                </Button>
              )}
            </>
          ) : (
            <FirstBoard onCreate={() => create.mutate(undefined)} busy={create.isPending} />
          )
        }
      </Loaded>
      <Templates onChoose={(id) => create.mutate(id)} busy={create.isPending} />
    </Page>
  );
}

function BoardCard({ board, onRemove }: { board: BoardSummary; onRemove: () => void }) {
  const label = useId();
  return (
    <li className={css.card}>
      <Link to={`/boards/${board.id}`} aria-labelledby={label} className={css.open}>
        <span className={css.preview}>
          <Preview url={board.preview_url} />
        </span>
        <span className={css.words}>
          <b id={label}>{board.title || "Untitled"}</b>
          <small>
            <When at={board.updated_at} /> · {count(board.nodes)} {board.nodes === 1 ? "piece" : "pieces"}
            {board.parent_post_id && " · a remix"}
          </small>
        </span>
      </Link>
      {board.role !== "owner" && (
        <span className={css.role}>
          <Tag>{roleWord(board.role)}</Tag>
        </span>
      )}
      {board.role === "owner" && (
        <Button
          look="quiet"
          icon="trash"
          className={css.remove}
          aria-label={`Delete ${board.title || "Untitled"}`}
          onClick={onRemove}
        />
      )}
    </li>
  );
}

/** A preview that cannot be read is no fault of the page: the empty frame stands in. */
function Preview({ url }: { url: string | null | undefined }) {
  const [failed, setFailed] = useState(false);
  if (!url || failed)
    return (
      <span className={css.blank} aria-hidden="true">
        <Icon name="board" size={20} />
      </span>
    );
  return <img src={url} alt="" loading="lazy" decoding="async" onError={() => setFailed(true)} />;
}

function FirstBoard({ onCreate, busy }: { onCreate: () => void; busy: boolean }) {
  return (
    <div className={css.first}>
      <Sketch />
      <div>
        <h2>From one photograph to a film</h2>
        <ol className={css.steps}>
          <li>
            <b>Drop photographs</b> anywhere on the board.
          </li>
          <li>
            <b>Connect them to tools</b>: each take stays, none is lost.
          </li>
          <li>
            <b>Put takes in order</b> on the storyboard and export the film.
          </li>
        </ol>
        <Button look="primary" size="large" icon="plus" because={busy ? "It is being made" : null} onClick={onCreate}>
          Make the first board
        </Button>
      </div>
    </div>
  );
}

/** What a board looks like, drawn in the page's own inks. */
function Sketch() {
  return (
    <svg className={css.sketch} viewBox="0 0 480 270" aria-hidden="true">
      <g fill="none" stroke="var(--line-strong)" strokeWidth="1.5">
        <path d="M148 92c40 0 28 40 68 40M148 196c40 0 28-56 68-56M328 136h44" />
      </g>
      <g fill="var(--raised)" stroke="var(--line-strong)" strokeWidth="1.5">
        <rect x="32" y="52" width="116" height="80" rx="8" />
        <rect x="32" y="164" width="116" height="64" rx="8" />
        <rect x="216" y="92" width="112" height="88" rx="8" stroke="var(--amber)" />
        <rect x="372" y="100" width="80" height="72" rx="8" />
      </g>
      <path d="M32 124v-16l30-28 26 24 16-14 44 34v0a8 8 0 0 1-8 8H40a8 8 0 0 1-8-8z" fill="var(--slate-wash)" />
      <circle cx="116" cy="74" r="8" fill="var(--amber-wash)" stroke="var(--amber)" />
      <g stroke="var(--text-3)" strokeWidth="2" strokeLinecap="round">
        <path d="M48 184h76M48 198h60M48 212h34" />
      </g>
      <path d="m262 120 26 16-26 16z" fill="var(--amber)" />
      <g stroke="var(--line-strong)" strokeWidth="1.5">
        <path d="M388 100v72M436 100v72" />
      </g>
      <path d="m404 126 18 10-18 10z" fill="var(--text-3)" />
    </svg>
  );
}

function Templates({ onChoose, busy }: { onChoose: (id: string) => void; busy: boolean }) {
  const templates = useQuery(templatesQuery);
  const items = templates.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Section title="Begin with a template">
      <ul className={css.templates}>
        {items.map((template) => (
          <li key={template.id}>
            <button type="button" className={css.template} disabled={busy} onClick={() => onChoose(template.id)}>
              <span className={css.templatePicture}>
                <Preview url={template.preview_url} />
              </span>
              <span>
                <b>{template.title}</b>
                <small>
                  {count(template.nodes)} {template.nodes === 1 ? "piece" : "pieces"}
                </small>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </Section>
  );
}

const UNTITLED = "Untitled board";

function useCreateBoard() {
  const { project } = useSession();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  return useMutation({
    mutationFn: (template: string | undefined) =>
      boardCalls.create({
        title: UNTITLED,
        ...(project ? { project_id: project.id } : {}),
        ...(template ? { template_id: template } : {}),
      }),
    onSuccess: (board) => {
      client.setQueryData(boardKeys.board(board.id), board);
      void client.invalidateQueries({ queryKey: boardKeys.boards });
      void navigate(`/boards/${board.id}`);
    },
    onError: sayProblem,
  });
}

/** Takes a board off the wall at once; it is deleted a moment later, unless one undoes it. */
function useRemoveBoard(): (board: BoardSummary) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (board) => {
    const before = client.getQueryData<InfiniteData<ApiPage<BoardSummary>>>(boardKeys.boards);
    client.setQueryData<InfiniteData<ApiPage<BoardSummary>>>(
      boardKeys.boards,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({ ...page, items: page.items.filter((one) => one.id !== board.id) })),
        },
    );
    const putBack = () => client.setQueryData(boardKeys.boards, before);
    later(
      { title: `${board.title || "Untitled"} is being deleted`, text: "Its pictures and films stay in the library." },
      () =>
        void boardCalls.remove(board.id).then(
          () => client.invalidateQueries({ queryKey: boardKeys.boards }),
          (error: unknown) => {
            putBack();
            sayProblem(error);
          },
        ),
      putBack,
    );
  };
}
