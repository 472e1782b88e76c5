import { Link } from "react-router";
import type { Tool } from "../../api/types";
import { humanise } from "../../lib/format";
import { Icon } from "../../ui";
import css from "./tools.module.css";

/** An extension that does not load: what it said, as it said it. */
export function BrokenTool({ tool }: { tool: Tool }) {
  const { error } = tool;
  if (!error) return null;
  return (
    <section className={css.broken} role="alert" aria-label={`${tool.label || tool.name} does not load`}>
      <h2>
        <Icon name="warn" /> {tool.label || humanise(tool.name)} does not load
      </h2>
      <p>
        Save its file again, and it is tried again at once. Runs that were paid for go on with the version that they
        began with.
      </p>
      {error.detail && (
        <pre tabIndex={0} aria-label="What it said">
          {error.detail}
        </pre>
      )}
      {error.code && (
        <Link to={`/docs/errors/${error.code}`} reloadDocument>
          {error.code}
        </Link>
      )}
    </section>
  );
}
