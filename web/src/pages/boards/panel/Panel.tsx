import { lazy, Suspense } from "react";
import { Button } from "../../../ui";
import { useFacts, useNode, useOpen } from "../context";
import { FilmFields } from "./FilmFields";
import { MediaPanel, TextPanel, ToolPanel } from "./nodePanels";
import { KIND_WORDS, nodeTitle } from "../words";
import css from "./panel.module.css";

const Comments = lazy(() => import("./Comments"));

/** The side of a board: what one can do with what is chosen, or what people said. Nothing chosen, nothing there. */
export function Panel({
  selected,
  side,
  onClose,
}: {
  selected: readonly string[];
  side: "node" | "comments";
  onClose: () => void;
}) {
  const one = selected.length === 1 ? selected[0] : undefined;
  if (side === "comments")
    return (
      <aside className={css.panel} aria-label="Comments">
        <Head title="Comments" onClose={onClose} />
        <Suspense>
          <Comments node={one ?? null} />
        </Suspense>
      </aside>
    );
  if (one !== undefined) return <NodePanel key={one} id={one} onClose={onClose} />;
  if (selected.length > 1) return <ManyPanel ids={selected} onClose={onClose} />;
  return null;
}

function Head({ title, onClose }: { title: React.ReactNode; onClose: () => void }) {
  return (
    <header className={css.head}>
      <h2>{title}</h2>
      <Button look="quiet" icon="close" aria-label="Close the panel" onClick={onClose} />
    </header>
  );
}

function NodePanel({ id, onClose }: { id: string; onClose: () => void }) {
  const node = useNode(id);
  const facts = useFacts(id);
  const { board, facts: store, canEdit } = useOpen();
  if (!node) return null;
  const tool = store.tool(node);
  const named = typeof node.params.name === "string" ? node.params.name : "";
  return (
    <aside className={css.panel} aria-label={`${KIND_WORDS[node.kind]}: ${nodeTitle(node, tool)}`}>
      <Head
        onClose={onClose}
        title={
          canEdit ? (
            <input
              className={css.name}
              aria-label="Name"
              value={named}
              placeholder={nodeTitle({ ...node, params: { ...node.params, name: "" } }, tool)}
              maxLength={80}
              onChange={(event) => board.setParam(id, "name", event.target.value || undefined)}
            />
          ) : (
            nodeTitle(node, tool)
          )
        }
      />
      <div className={css.body}>
        {node.kind === "tool" && <ToolPanel node={node} facts={facts} tool={tool} />}
        {(node.kind === "prompt" || node.kind === "note") && <TextPanel node={node} />}
        {(node.kind === "image" || node.kind === "video" || node.kind === "audio" || node.kind === "shot") && (
          <MediaPanel node={node} facts={facts} />
        )}
        {facts.makes !== "text" && node.kind !== "note" && node.kind !== "group" && (
          <FilmFields node={node} makes={facts.makes} />
        )}
        {canEdit && <Acts ids={[id]} />}
      </div>
    </aside>
  );
}

function ManyPanel({ ids, onClose }: { ids: readonly string[]; onClose: () => void }) {
  const { canEdit } = useOpen();
  return (
    <aside className={css.panel} aria-label={`${ids.length} chosen`}>
      <Head title={`${ids.length} chosen`} onClose={onClose} />
      <div className={css.body}>
        {canEdit ? <Acts ids={ids} /> : <p className={css.quiet}>Choose one to see what it is.</p>}
      </div>
    </aside>
  );
}

const COPY_PX = 40;

function Acts({ ids }: { ids: readonly string[] }) {
  const { board, select } = useOpen();
  return (
    <div className={css.acts}>
      <Button
        icon="copy"
        onClick={() => {
          board.step();
          select(board.duplicate(ids, COPY_PX, COPY_PX));
        }}
      >
        Duplicate
      </Button>
      <Button
        icon="trash"
        onClick={() => {
          board.step();
          board.remove(ids);
          select([]);
        }}
      >
        Delete
      </Button>
    </div>
  );
}
