import type { Tool } from "../../api/types";
import after from "../../assets/hero-after.webp";
import before from "../../assets/hero-before.webp";
import { humanise } from "../../lib/format";
import css from "./tools.module.css";

export function toolTitle(tool: Tool): string {
  return tool.label || humanise(tool.name);
}

export function toolSentence(tool: Tool): string {
  return tool.description;
}

/**
 * What a tool does to a picture, without words. Upscale shows a real pair of its own making; animate moves the
 * photograph on the stage. A tool that we have no picture for shows its name only.
 */
export function ToolPicture({ name, previewUrl }: { name: string; previewUrl: string | null }) {
  if (name === "upscale") {
    return (
      <span className={css.pair} aria-hidden="true">
        <i className={css.before} style={{ backgroundImage: `url(${before})` }} />
        <i className={css.after} style={{ backgroundImage: `url(${after})` }} />
      </span>
    );
  }
  if (name === "animate") {
    return (
      <span className={css.move} aria-hidden="true">
        <i style={{ backgroundImage: `url(${previewUrl ?? after})` }} />
      </span>
    );
  }
  return null;
}
