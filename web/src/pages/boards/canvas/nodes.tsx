import { Handle, NodeResizer, Position, type NodeProps } from "@xyflow/react";
import { memo, useState } from "react";
import type { Tool } from "../../../api/types";
import { credits, duration, readable } from "../../../lib/format";
import { Icon } from "../../../ui";
import { ToolThumb } from "../../../ui/ToolMedia";
import { useFacts, useMedia, useNode, useOpen, usePeerAt } from "../context";
import type { NodeFacts } from "../doc/facts";
import { hasOutput, inputsOf, mediaWord, OUT, type Port } from "../doc/ports";
import { NODE_PX_MIN, type BoardNode, type NodeKind } from "../doc/types";
import { KIND_ICONS, nodeTitle, workWords } from "../words";
import { useDetail } from "./detail";
import { handlesOf, PORT_STEP_PX, PORT_TOP_PX, type FlowNode } from "./flow";
import { NodeText } from "./NodeText";
import css from "./nodes.module.css";

/** As much as fits in large letters. */
const FAR_CHARS_MAX = 60;

/** From afar, or out of sight, a node is its picture, or a plain shape: five hundred of them are on the page. */
const BoardNodeView = memo(function BoardNodeView(props: NodeProps<FlowNode>) {
  return useDetail(props.id) ? <NearNode {...props} /> : <FarNode {...props} />;
});

function FarNode({ id, selected }: NodeProps<FlowNode>) {
  const node = useNode(id);
  const { asset, makes, work } = useFacts(id);
  const { previewUrl } = useMedia();
  const { facts } = useOpen();
  const peer = usePeerAt(id);
  if (!node) return null;
  const tool = facts.tool(node);
  const picture = makes === "audio" ? null : asset;
  return (
    <div
      className={css.node}
      data-far
      data-kind={node.kind}
      data-selected={selected || undefined}
      data-work={work}
      style={peer ? ({ "--peer": peer.color } as React.CSSProperties) : undefined}
      data-peer={peer ? true : undefined}
    >
      {!picture && <b className={css.farTitle}>{farTitle(node, tool)}</b>}
      {picture && (
        <img
          className={css.farPicture}
          src={previewUrl(picture)}
          alt=""
          draggable={false}
          loading="lazy"
          decoding="async"
        />
      )}
      {handlesOf(node, tool).map(({ id: port, type, position, x, y, width, height }) => (
        // React Flow measures where the edges begin and end: without a place to measure it would draw none.
        <i
          key={port}
          className={`${type} ${css.farPort}`}
          data-handleid={port}
          data-handlepos={position}
          style={{ left: x, top: y, width, height }}
        />
      ))}
    </div>
  );
}

/** What a node without a picture is, in letters that can be read from afar. */
function farTitle(node: BoardNode, tool: Tool | undefined): string {
  const words = node.kind === "prompt" ? node.params.prompt : node.kind === "note" ? node.params.text : "";
  return (typeof words === "string" && words.trim().slice(0, FAR_CHARS_MAX)) || nodeTitle(node, tool);
}

/** One component for all kinds: the label outside, the work inside, ports at the edges. */
function NearNode({ id, selected, dragging }: NodeProps<FlowNode>) {
  const node = useNode(id);
  const facts = useFacts(id);
  const peer = usePeerAt(id);
  const { facts: store, canEdit } = useOpen();
  if (!node) return null;
  const tool = store.tool(node);
  const inputs = inputsOf(node, tool);
  return (
    <div
      className={css.node}
      data-kind={node.kind}
      data-selected={selected || undefined}
      data-dragging={dragging || undefined}
      data-work={facts.work}
      style={peer ? ({ "--peer": peer.color } as React.CSSProperties) : undefined}
      data-peer={peer ? true : undefined}
    >
      <div className={css.label}>
        <Icon name={KIND_ICONS[node.kind]} size={14} />
        <span>{nodeTitle(node, tool)}</span>
        {peer && <i className={css.peer}>{peer.name}</i>}
      </div>
      <Body node={node} facts={facts} selected={selected} />
      {inputs.map((port, index) => (
        <InPort key={port.name} port={port} index={index} named={selected || inputs.length > 1} />
      ))}
      {hasOutput(node, tool) && (
        <Handle
          type="source"
          role="img"
          id={OUT}
          position={Position.Right}
          className={css.port}
          data-media={facts.makes ?? undefined}
          style={{ top: PORT_TOP_PX }}
          aria-label={facts.makes ? `Gives a ${mediaWord([facts.makes])}` : "Gives what comes in"}
        />
      )}
      {selected && canEdit && node.kind !== "audio" && (
        <NodeResizer
          minWidth={NODE_PX_MIN}
          minHeight={node.kind === "tool" ? 120 : 72}
          keepAspectRatio={node.kind === "image" || node.kind === "video"}
          lineClassName={css.resizeLine}
          handleClassName={css.resizeHandle}
        />
      )}
    </div>
  );
}

function InPort({ port, index, named }: { port: Port; index: number; named: boolean }) {
  return (
    <Handle
      type="target"
      role="img"
      id={port.name}
      position={Position.Left}
      className={css.port}
      data-media={port.takes[0]}
      style={{ top: PORT_TOP_PX + index * PORT_STEP_PX }}
      aria-label={`${port.label}: takes a ${mediaWord(port.takes)}`}
    >
      {named && <span className={css.portName}>{port.label}</span>}
    </Handle>
  );
}

function Body({ node, facts, selected }: { node: BoardNode; facts: NodeFacts; selected: boolean }) {
  const { contentUrl } = useMedia();
  switch (node.kind) {
    case "group":
      return null;
    case "prompt":
      return <NodeText id={node.id} name="prompt" selected={selected} placeholder="What should be in it?" />;
    case "note":
      return <NodeText id={node.id} name="text" selected={selected} placeholder="A note to whoever comes here" />;
    case "tool":
      return (
        <>
          <div className={css.media}>
            <Shown facts={facts} />
            {!facts.asset && <ToolBlank node={node} facts={facts} />}
          </div>
          <ToolFoot facts={facts} />
        </>
      );
    case "shot":
      return (
        <div className={css.media}>
          <Shown facts={facts} />
          {!facts.asset && (
            <p className={css.hint}>{facts.makes ? "Its tool has no take yet" : "Lead a picture or a clip in"}</p>
          )}
        </div>
      );
    case "audio":
      return (
        <div className={css.audio}>
          {facts.asset ? (
            <audio controls preload="none" src={contentUrl(facts.asset)} className="nodrag" />
          ) : (
            <p className={css.hint}>No sound is chosen yet</p>
          )}
        </div>
      );
    default:
      return (
        <div className={css.media}>
          <Shown facts={facts} />
          {!facts.asset && <p className={css.hint}>Choose it in the panel, or drop a file on the board</p>}
        </div>
      );
  }
}

/** The picture, or the first frame of the clip, which plays while the pointer rests on it. */
function Shown({ facts }: { facts: Pick<NodeFacts, "asset" | "makes"> }) {
  const [over, setOver] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const { contentUrl, previewUrl } = useMedia();
  const { asset, makes } = facts;
  if (!asset) return null;
  if (makes === "audio")
    return (
      <div className={css.audio}>
        <audio controls preload="none" src={contentUrl(asset)} className="nodrag" />
      </div>
    );
  if (failed === asset) return <p className={css.hint}>This {makes === "video" ? "clip" : "picture"} was deleted</p>;
  return (
    <div
      className={css.picture}
      onPointerEnter={makes === "video" ? () => setOver(true) : undefined}
      onPointerLeave={makes === "video" ? () => setOver(false) : undefined}
    >
      <img
        src={previewUrl(asset)}
        alt=""
        draggable={false}
        loading="lazy"
        decoding="async"
        onError={() => setFailed(asset)}
      />
      {makes === "video" && over && <video src={contentUrl(asset)} muted autoPlay loop playsInline />}
      {makes === "video" && !over && (
        <i className={css.plays}>
          <Icon name="play" size={12} />
        </i>
      )}
    </div>
  );
}

function ToolBlank({ node, facts }: { node: BoardNode; facts: NodeFacts }) {
  const name = typeof node.params.tool === "string" ? node.params.tool : "";
  const { facts: store } = useOpen();
  const known = store.tool(node);
  return (
    <div className={css.blank}>
      {known ? <ToolThumb tool={known} /> : null}
      <p>
        {!known
          ? store.toolsKnown.size > 0
            ? `The tool ${name || "of this node"} is not in the catalogue`
            : ""
          : facts.problem
            ? readable(facts.problem.message)
            : "No take yet"}
      </p>
    </div>
  );
}

/** How the tool stands, in words, and what running it would cost. */
function ToolFoot({ facts }: { facts: NodeFacts }) {
  const words = workWords(facts);
  return (
    <div className={css.foot} data-tone={words.tone}>
      {words.icon && <Icon name={words.icon} size={14} />}
      <span>{words.text}</span>
      {facts.stale && facts.work === "idle" && (
        <b title={`about ${duration(facts.stale.run_ms)}`}>{credits(facts.stale.price_micro)} cr</b>
      )}
    </div>
  );
}

export const NODE_TYPES: Record<NodeKind, typeof BoardNodeView> = {
  image: BoardNodeView,
  video: BoardNodeView,
  audio: BoardNodeView,
  prompt: BoardNodeView,
  tool: BoardNodeView,
  shot: BoardNodeView,
  note: BoardNodeView,
  group: BoardNodeView,
};
