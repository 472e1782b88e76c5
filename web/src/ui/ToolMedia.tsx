import { useRef } from "react";
import type { Tool } from "../api/types";
import { Compare } from "./Compare";
import { Icon, type IconName } from "./Icon";
import { Sound } from "./Sound";
import css from "./ToolMedia.module.css";

type MediaOf = Pick<Tool, "before" | "after" | "category" | "label" | "examples">;

/** Where the tool itself names no pictures, its first example may. */
function withExample(tool: MediaOf): MediaOf {
  const example = tool.examples[0] as { before?: string; after?: string } | undefined;
  return { ...tool, before: tool.before ?? example?.before ?? null, after: tool.after ?? example?.after ?? null };
}
type Kind = "image" | "video" | "audio";

/** What kind of media an address of an example names. */
function kindOf(address: string | null | undefined): Kind | null {
  if (!address) return null;
  if (/\.(mp4|webm)$/.test(address)) return "video";
  return /\.(mp3|wav|ogg|m4a)$/.test(address) ? "audio" : "image";
}

const ICON: Record<string, IconName> = { audio: "sound", video: "play", image: "image", safety: "shield" };

/** What a tool does, small and without words: both halves of one picture, a clip that moves when one points at it. */
export function ToolThumb({ tool: given }: { tool: MediaOf }) {
  const tool = withExample(given);
  const clip = useRef<HTMLVideoElement>(null);
  const after = kindOf(tool.after);
  if (after === "video") {
    return (
      <span
        className={css.thumb}
        aria-hidden="true"
        onPointerEnter={() => void clip.current?.play().catch(() => undefined)}
        onPointerLeave={() => clip.current?.pause()}
      >
        <video
          ref={clip}
          src={tool.after ?? undefined}
          poster={tool.before ?? undefined}
          muted
          loop
          playsInline
          preload="none"
        />
        <i>
          <Icon name="play" size={12} />
        </i>
      </span>
    );
  }
  if (after === "image") {
    return (
      <span className={css.thumb} aria-hidden="true">
        <img className={css.checked} src={tool.after ?? undefined} alt="" loading="lazy" />
        {tool.before && <img className={css.left} src={tool.before} alt="" loading="lazy" />}
      </span>
    );
  }
  return (
    <span className={css.thumb} aria-hidden="true">
      {after === null && tool.before && <img src={tool.before} alt="" loading="lazy" />}
      <b>
        <Icon
          name={after === "audio" ? "sound" : tool.before ? "shield" : (ICON[tool.category] ?? "tools")}
          size={24}
        />
      </b>
    </span>
  );
}

/** The same, large: a line that one moves between before and after, a clip beside its picture, a sound. */
export function ToolExample({ tool: given }: { tool: MediaOf }) {
  const tool = withExample(given);
  const after = kindOf(tool.after);
  if (after === "image" && tool.before) {
    return (
      <div className={css.example}>
        <Compare
          before={<img src={tool.before} alt={`Before ${tool.label}`} />}
          after={<img className={css.checked} src={tool.after ?? undefined} alt={`After ${tool.label}`} />}
          beforeLabel="Before"
          afterLabel="After"
        />
      </div>
    );
  }
  if (after === "video") {
    return (
      <div className={css.example} data-pair={tool.before ? true : undefined}>
        {tool.before && <img src={tool.before} alt={`Before ${tool.label}`} loading="lazy" />}
        <video
          src={tool.after ?? undefined}
          controls
          muted
          loop
          playsInline
          preload="metadata"
          aria-label={`After ${tool.label}`}
        />
      </div>
    );
  }
  if (after === "audio") {
    return (
      <div className={css.example} data-sound>
        <Sound src={tool.after ?? ""} label={`What ${tool.label} made`} size_bytes={0} />
      </div>
    );
  }
  return (
    <div className={css.example}>
      <ToolThumb tool={tool} />
    </div>
  );
}
