import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api/http";
import type { Post } from "../../api/social";
import { changePost } from "../../api/useSocial";
import { Button, Dialog, ProblemView, uiCss } from "../../ui";
import { PostWords } from "../../publish/PostWords";
import css from "./Post.module.css";

export function EditPostDialog({ post, onClose }: { post: Post; onClose: () => void }) {
  const client = useQueryClient();
  const [words, setWords] = useState({ title: post.title, text: post.text, tags: post.tags });
  const [shared, setShared] = useState({ share_parameters: post.share_parameters, remixable: post.remixable });
  const save = useMutation({
    mutationFn: () => api.patch<Post>(`/v1/posts/${post.id}`, { ...words, ...shared }),
    onSuccess: (saved) => {
      changePost(client, post.id, () => saved);
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title="Edit the post" text="The work itself stays as it is.">
      <form
        className={css.report}
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <PostWords words={words} onChange={setWords} error={save.error} />
        <fieldset>
          <legend className="sr-only">What is shared</legend>
          <label>
            <input
              type="checkbox"
              checked={shared.share_parameters}
              onChange={(event) => setShared({ ...shared, share_parameters: event.target.checked })}
            />
            Others see the parameters
          </label>
          <label>
            <input
              type="checkbox"
              checked={shared.remixable}
              onChange={(event) => setShared({ ...shared, remixable: event.target.checked })}
            />
            Others may remix it
          </label>
        </fieldset>
        {save.error && <ProblemView error={save.error} />}
        <div className={uiCss.emptyActions}>
          <Button
            type="submit"
            look="primary"
            because={!words.title.trim() ? "It needs a title" : save.isPending ? "It is being saved" : null}
          >
            Save
          </Button>
          <Button onClick={onClose}>Leave it</Button>
        </div>
      </form>
    </Dialog>
  );
}
