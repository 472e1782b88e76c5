import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import {
  commentsQuery,
  myProfileQuery,
  socialKeys,
  type Comment,
  type Comments as List,
  type Post,
} from "../../api/social";
import { changePost } from "../../api/useSocial";
import { plural } from "../../lib/format";
import { Button, Loaded, When } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { useToasts } from "../../ui/toasts";
import css from "./Post.module.css";
import { ReportDialog } from "./ReportDialog";

const TEXT_MAX = 1_000;

export function Comments({ post }: { post: Post }) {
  const comments = useInfiniteQuery(commentsQuery(post.id));
  const me = useQuery(myProfileQuery).data;
  const [reported, setReported] = useState<Comment | null>(null);
  const remove = useRemoveComment(post);
  return (
    <section className={css.comments} aria-label="Comments">
      <h2>{post.comments > 0 ? plural(post.comments, "comment", "comments") : "Comments"}</h2>
      <Composer post={post} />
      <Loaded of={comments} waiting="Fetching what people say…">
        {({ pages }) => {
          const items = pages.flatMap((page) => page.items);
          if (items.length === 0) return <p className={css.quiet}>Nobody has said anything yet.</p>;
          return (
            <ol>
              {items.map((comment) => (
                <li key={comment.id} className={css.comment}>
                  <Avatar of={comment.author} size={28} />
                  <div>
                    <p className={css.commentBy}>
                      <Link to={`/people/${comment.author.handle}`}>{comment.author.name}</Link>
                      <When at={comment.created_at} />
                      {comment.author.handle === me?.handle || post.author.handle === me?.handle ? (
                        <Button
                          look="quiet"
                          icon="trash"
                          aria-label="Delete this comment"
                          onClick={() => remove(comment)}
                        />
                      ) : (
                        <Button
                          look="quiet"
                          icon="flag"
                          aria-label={`Report the comment of ${comment.author.name}`}
                          onClick={() => setReported(comment)}
                        />
                      )}
                    </p>
                    <p className={css.said}>{comment.text}</p>
                  </div>
                </li>
              ))}
            </ol>
          );
        }}
      </Loaded>
      {comments.hasNextPage && (
        <Button
          onClick={() => void comments.fetchNextPage()}
          because={comments.isFetchingNextPage ? "One moment" : null}
        >
          More comments
        </Button>
      )}
      {reported && (
        <ReportDialog
          what={`the comment of ${reported.author.name}`}
          report={{ comment_id: reported.id }}
          onClose={() => setReported(null)}
        />
      )}
    </section>
  );
}

/** What one says stands there at once, greyed until the server has it; a refusal gives the words back. */
function Composer({ post }: { post: Post }) {
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const [text, setText] = useState("");
  const key = socialKeys.comments(post.id);
  const send = useMutation({
    mutationFn: (said: string) => api.post<Comment>(`/v1/posts/${post.id}/comments`, { text: said }),
    onSuccess: (comment) => {
      setText("");
      void client.invalidateQueries({ queryKey: socialKeys.myProfile });
      client.setQueryData<List>(key, (old) => {
        const first = old?.pages[0];
        return old && first
          ? { ...old, pages: [{ ...first, items: [comment, ...first.items] }, ...old.pages.slice(1)] }
          : old;
      });
      changePost(client, post.id, (old) => ({ ...old, comments: old.comments + 1 }));
    },
    onError: sayProblem,
  });
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    const said = text.trim();
    if (said && !send.isPending) send.mutate(said);
  };
  return (
    <form className={css.composer} onSubmit={submit}>
      <textarea
        value={text}
        rows={text ? 3 : 1}
        maxLength={TEXT_MAX}
        aria-label="Say something about it"
        placeholder="Say something about it"
        aria-busy={send.isPending}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) submit();
        }}
      />
      {text.trim() && (
        <Button type="submit" look="primary" because={send.isPending ? "It is being sent" : null}>
          Comment
        </Button>
      )}
    </form>
  );
}

function useRemoveComment(post: Post): (comment: Comment) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  const key = socialKeys.comments(post.id);
  return (comment) => {
    const before = client.getQueryData<List>(key);
    client.setQueryData<List>(
      key,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({ ...page, items: page.items.filter((one) => one.id !== comment.id) })),
        },
    );
    changePost(client, post.id, (old) => ({ ...old, comments: Math.max(0, old.comments - 1) }));
    const putBack = () => {
      client.setQueryData(key, before);
      changePost(client, post.id, (old) => ({ ...old, comments: old.comments + 1 }));
    };
    later(
      { title: "The comment is being deleted" },
      () =>
        void api.delete(`/v1/posts/${post.id}/comments/${comment.id}`).catch((error: unknown) => {
          putBack();
          sayProblem(error);
        }),
      putBack,
    );
  };
}
