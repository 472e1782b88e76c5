import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { boardCalls, boardKeys, commentsQuery, type BoardComment } from "../../../api/boards";
import { useSession } from "../../../app/session";
import { Button, Icon, Loaded, When } from "../../../ui";
import { useToasts } from "../../../ui/toasts";
import { useOpen } from "../context";
import { Face } from "../Face";
import { nodeTitle } from "../words";
import css from "./panel.module.css";

const TEXT_MAX = 4_000;

/** What people said about the board, or about one node; what is settled steps back. */
export default function Comments({ node }: { node: string | null }) {
  const { id, board, facts, canComment } = useOpen();
  const comments = useQuery(commentsQuery(id));
  const [settled, setSettled] = useState(false);
  return (
    <>
      <div className={css.body}>
        <Loaded of={comments} waiting="Fetching the comments…">
          {(all) => {
            const shown = all.filter((one) => (settled || !one.resolved_at) && (!node || one.node === node));
            const done = all.filter((one) => one.resolved_at).length;
            return (
              <>
                {shown.length === 0 && (
                  <p className={css.quiet}>
                    {node
                      ? `Nobody said anything about ${nodeTitle(board.node(node), facts.tool(board.node(node)))} yet.`
                      : "Nobody said anything yet. Choose a node first, and what you say stands beside it."}
                  </p>
                )}
                <ul className={css.comments}>
                  {shown.map((comment) => (
                    <Comment key={comment.id} comment={comment} name={comment.author_name} />
                  ))}
                </ul>
                {done > 0 && (
                  <Button look="quiet" aria-pressed={settled} onClick={() => setSettled(!settled)}>
                    {settled ? "Hide what is settled" : `Show ${done} settled`}
                  </Button>
                )}
              </>
            );
          }}
        </Loaded>
      </div>
      {canComment && <Say node={node} />}
    </>
  );
}

function Comment({ comment, name }: { comment: BoardComment; name: string }) {
  const { id, board, facts, canComment, role, select } = useOpen();
  const { me } = useSession();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const settle = useMutation({
    mutationFn: () => boardCalls.resolve(id, comment.id),
    onSettled: () => client.invalidateQueries({ queryKey: boardKeys.comments(id) }),
    onError: sayProblem,
  });
  const remove = useMutation({
    mutationFn: () => boardCalls.removeComment(id, comment.id),
    onSettled: () => client.invalidateQueries({ queryKey: boardKeys.comments(id) }),
    onError: sayProblem,
  });
  const about = comment.node ? board.node(comment.node) : undefined;
  const own = comment.author_id === me.user.id;
  return (
    <li className={css.comment} data-settled={comment.resolved_at ? true : undefined}>
      <p className={css.who}>
        <Face id={comment.author_id} name={name} />
        {comment.author_handle && !own ? (
          <Link to={`/people/${comment.author_handle}`}>
            <b>{name}</b>
          </Link>
        ) : (
          <b>{own ? "You" : name}</b>
        )}{" "}
        <When at={comment.created_at} />
        {comment.resolved_at && (
          <span>
            <Icon name="check" size={12} /> settled{comment.resolved_by_name && ` by ${comment.resolved_by_name}`}
          </span>
        )}
      </p>
      {comment.node && (
        <button
          type="button"
          className={css.link}
          disabled={!about}
          onClick={() => comment.node && select([comment.node])}
        >
          {about ? nodeTitle(about, facts.tool(about)) : "about something that was deleted"}
        </button>
      )}
      <p className={css.said}>{comment.text}</p>
      {canComment && (
        <div className={css.commentActs}>
          {!comment.resolved_at && (
            <Button
              look="quiet"
              because={settle.isPending ? "It is being settled" : null}
              onClick={() => settle.mutate()}
            >
              Settle
            </Button>
          )}
          {(own || role === "owner") && (
            <Button
              look="quiet"
              because={remove.isPending ? "It is being deleted" : null}
              onClick={() => remove.mutate()}
            >
              Delete
            </Button>
          )}
        </div>
      )}
    </li>
  );
}

function Say({ node }: { node: string | null }) {
  const { id, board, facts } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const [text, setText] = useState("");
  const say = useMutation({
    mutationFn: () => boardCalls.comment(id, { text: text.trim(), ...(node ? { node } : {}) }),
    onSuccess: () => {
      setText("");
      return client.invalidateQueries({ queryKey: boardKeys.comments(id) });
    },
    onError: sayProblem,
  });
  const send = () => {
    if (text.trim() && !say.isPending) say.mutate();
  };
  const about = node ? board.node(node) : undefined;
  return (
    <form
      className={css.say}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        className={css.area}
        aria-label={about ? `Comment on ${nodeTitle(about, facts.tool(about))}` : "Comment on the board"}
        placeholder={about ? `About ${nodeTitle(about, facts.tool(about))}…` : "About the board…"}
        value={text}
        maxLength={TEXT_MAX}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) send();
        }}
      />
      <Button
        type="submit"
        because={text.trim() ? (say.isPending ? "It is being sent" : null) : "Write something first"}
      >
        Comment
      </Button>
    </form>
  );
}
