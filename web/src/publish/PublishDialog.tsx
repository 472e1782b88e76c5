import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { Link, useNavigate } from "react-router";
import { api } from "../api/http";
import { runQuery } from "../api/queries";
import { myProfileQuery, socialKeys, type Post, type Profile } from "../api/social";
import type { Asset, Run } from "../api/types";
import { dimensions, duration, humanise } from "../lib/format";
import { idempotencyKey } from "../lib/keys";
import { isVideo, previewUrl, ratioOf } from "../lib/media";
import { parameterFacts } from "../lib/provenance";
import { takeLabel } from "../lib/schema";
import { Button, Dialog, Icon, Loaded, ProblemView, uiCss } from "../ui";
import { useToasts } from "../ui/toasts";
import { PostWords, TITLE_MAX, type Words } from "./PostWords";
import css from "./publish.module.css";

const FILM = "film";

type Published = Pick<Asset, "id" | "name" | "content_type" | "width" | "height" | "duration_ms" | "run_id">;

/**
 * Puts a picture, a clip or a board's film on the wall. It says, line by line, what others will see and what they
 * will not, before anything is shared.
 */
export function PublishDialog({
  asset,
  boardId = null,
  onClose,
}: {
  asset: Published;
  boardId?: string | null;
  onClose: () => void;
}) {
  const profile = useQuery(myProfileQuery);
  return (
    <Dialog open onClose={onClose} wide title="Publish">
      <Loaded of={profile}>{(me) => <PublishForm asset={asset} boardId={boardId} me={me} onClose={onClose} />}</Loaded>
    </Dialog>
  );
}

function PublishForm({
  asset,
  boardId,
  me,
  onClose,
}: {
  asset: Published;
  boardId: string | null;
  me: Profile;
  onClose: () => void;
}) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useToasts();
  const run = useQuery({ ...runQuery(asset.run_id ?? ""), enabled: Boolean(asset.run_id) }).data ?? null;
  const [words, setWords] = useState<Words>({ title: titleOf(asset.name), text: "", tags: [] });
  const [parameters, setParameters] = useState(true);
  const [remixable, setRemixable] = useState(true);
  const [key] = useState(idempotencyKey);
  const publish = useMutation({
    mutationFn: () =>
      api.post<Post>(
        "/v1/posts",
        {
          asset_id: asset.id,
          title: words.title.trim(),
          ...(words.text.trim() ? { text: words.text.trim() } : {}),
          tags: words.tags,
          ...(boardId ? { board_id: boardId } : {}),
          share_parameters: parameters,
          remixable,
        },
        { "idempotency-key": key },
      ),
    onSuccess: (post) => {
      void client.invalidateQueries({ queryKey: socialKeys.myProfile });
      client.setQueryData(socialKeys.post(post.id), post);
      void client.invalidateQueries({ queryKey: socialKeys.posts });
      say({ title: "It is on the wall", text: `${post.title}, by @${me.handle}` });
      onClose();
      void navigate(`/community/${post.id}`);
    },
  });
  const what = isVideo(asset) ? (boardId ? "film" : "clip") : "picture";
  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault();
        if (words.title.trim() && !publish.isPending) publish.mutate();
      }}
    >
      <div className={css.show}>
        <img src={previewUrl(asset.id)} alt="" style={{ aspectRatio: String(ratioOf(asset)) }} />
        <PostWords words={words} onChange={setWords} error={publish.error} />
      </div>
      <div className={css.shared}>
        <h3>Everybody who is signed in sees</h3>
        <ul>
          <Line on>
            The {what} in full size
            <small>
              {[dimensions(asset.width, asset.height), asset.duration_ms ? duration(asset.duration_ms) : ""]
                .filter(Boolean)
                .join(" · ")}
            </small>
          </Line>
          <Line on>
            Your name and handle
            <small>
              {me.name}, @{me.handle}; <Link to="/profile">call yourself otherwise</Link>
            </small>
          </Line>
          {run && (
            <Line on>
              The tool and its model
              <small>
                {humanise(run.tool)} {run.version}
              </small>
            </Line>
          )}
          {(run || boardId) && (
            <Choice on={parameters} onChange={setParameters} label="The parameters">
              {parametersWords(run, parameters)}
            </Choice>
          )}
          <Choice on={remixable} onChange={setRemixable} label="A copy to remix">
            {remixable
              ? "They may begin a board of their own with it; it will name this post as its parent."
              : "They may look at it, and not begin a board with it."}
          </Choice>
        </ul>
        <h3>Nobody sees</h3>
        <p>What it was made from, what it cost, your e-mail, or your organisation. You can take it down at any time.</p>
        {publish.error && <ProblemView error={publish.error} />}
        <div className={uiCss.emptyActions}>
          <Button
            type="submit"
            look="primary"
            icon="publish"
            because={!words.title.trim() ? "It needs a title" : publish.isPending ? "It is being published" : null}
          >
            Publish
          </Button>
          <Button onClick={onClose}>Not now</Button>
        </div>
      </div>
    </form>
  );
}

function parametersWords(run: Run | null, shared: boolean): string {
  if (!shared) return "They see with which tool it was made, and not with which settings.";
  if (!run) return "The settings with which its shots were made.";
  if (run.tool !== FILM) return takeLabel(run.input) || "It was made with none.";
  return parameterFacts(FILM, run.input)
    .map(([name, value]) => `${name}: ${value}`)
    .join(" · ");
}

/** "rocket_2x.png" reads "Rocket 2x". */
function titleOf(name: string): string {
  return humanise(name.replace(/\.[a-z0-9]{2,5}$/i, "")).slice(0, TITLE_MAX);
}

function Line({ on, children }: { on: boolean; children: ReactNode }) {
  return (
    <li data-on={on}>
      <Icon name={on ? "check" : "close"} />
      <span>{children}</span>
    </li>
  );
}

function Choice({
  on,
  onChange,
  label,
  children,
}: {
  on: boolean;
  onChange: (on: boolean) => void;
  label: string;
  children: ReactNode;
}) {
  return (
    <li data-on={on}>
      <input type="checkbox" aria-label={label} checked={on} onChange={(event) => onChange(event.target.checked)} />
      <span onClick={() => onChange(!on)}>
        {label}
        <small>{children}</small>
      </span>
    </li>
  );
}
