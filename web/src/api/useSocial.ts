import { useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { idempotencyKey } from "../lib/keys";
import { useToasts } from "../ui/toasts";
import { api } from "./http";
import { socialKeys, type Post, type Posts, type Profile } from "./social";

/** Changes a post wherever it is shown: on its page and on every wall. */
export function changePost(client: QueryClient, id: string, change: (post: Post) => Post): void {
  client.setQueryData<Post>(socialKeys.post(id), (old) => old && change(old));
  client.setQueriesData<Posts>(
    { queryKey: socialKeys.posts },
    (old) =>
      old && {
        ...old,
        pages: old.pages.map((page) => ({
          ...page,
          items: page.items.map((post) => (post.id === id ? change(post) : post)),
        })),
      },
  );
}

/** Takes posts off every wall; what the server says comes with the next look. */
export function dropPosts(client: QueryClient, gone: (post: Post) => boolean): void {
  client.setQueriesData<Posts>(
    { queryKey: socialKeys.posts },
    (old) =>
      old && {
        ...old,
        pages: old.pages.map((page) => ({ ...page, items: page.items.filter((post) => !gone(post)) })),
      },
  );
}

const withLike =
  (liked: boolean) =>
  (post: Post): Post =>
    post.liked === liked ? post : { ...post, liked, likes: Math.max(0, post.likes + (liked ? 1 : -1)) };

/** Shown at once; taken back where the server did not accept it. */
export function useLike() {
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  return useMutation({
    mutationFn: ({ id, like }: { id: string; like: boolean }) =>
      like ? api.put(`/v1/posts/${id}/like`) : api.delete(`/v1/posts/${id}/like`),
    onMutate: ({ id, like }) => changePost(client, id, withLike(like)),
    onError: (error, { id, like }) => {
      changePost(client, id, withLike(!like));
      sayProblem(error);
    },
  });
}

export type Tie = "follow" | "block" | "mute";
const FLAG = { follow: "followed", block: "blocked", mute: "muted" } as const;

/** Follow, block or mute somebody, or stop doing so. */
export function useTie() {
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const show = (handle: string, tie: Tie, on: boolean) =>
    client.setQueryData<Profile>(
      socialKeys.profile(handle),
      (old) =>
        old && {
          ...old,
          [FLAG[tie]]: on,
          followers: old.followers + (tie === "follow" && old.followed !== on ? (on ? 1 : -1) : 0),
        },
    );
  return useMutation({
    mutationFn: ({ handle, tie, on }: { handle: string; tie: Tie; on: boolean }) => {
      const path = `/v1/profiles/${encodeURIComponent(handle)}/${tie}`;
      return on ? api.put(path) : api.delete(path);
    },
    onMutate: ({ handle, tie, on }) => show(handle, tie, on),
    onSuccess: (_, { handle }) => {
      void client.invalidateQueries({ queryKey: socialKeys.profile(handle) });
      void client.invalidateQueries({ queryKey: socialKeys.posts });
    },
    onError: (error, { handle, tie, on }) => {
      show(handle, tie, !on);
      sayProblem(error);
    },
  });
}

/** A new board that names the post as its parent. */
export function useRemix() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { sayProblem } = useToasts();
  return useMutation({
    mutationFn: (post: Post) =>
      api.post<{ board_id: string }>(`/v1/posts/${post.id}/remix`, {}, { "idempotency-key": idempotencyKey() }),
    onSuccess: ({ board_id }, post) => {
      changePost(client, post.id, (old) => ({ ...old, remixes: old.remixes + 1 }));
      void client.invalidateQueries({ queryKey: socialKeys.lineage(post.id) });
      void navigate(`/boards/${board_id}`);
    },
    onError: sayProblem,
  });
}

export interface Report {
  post_id?: string;
  comment_id?: string;
  handle?: string;
  reason: string;
  text?: string;
}

export function useReport(onDone: () => void) {
  const { say } = useToasts();
  return useMutation({
    mutationFn: (report: Report) => api.post("/v1/reports", report),
    onSuccess: () => {
      say({ title: "Reported", text: "A person will look at it. They do not learn who reported it." });
      onDone();
    },
  });
}
