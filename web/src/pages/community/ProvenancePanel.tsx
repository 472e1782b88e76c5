import { Link } from "react-router";
import type { Post } from "../../api/social";
import { dimensions, duration, humanise } from "../../lib/format";
import { parameterFacts } from "../../lib/provenance";
import { Button } from "../../ui";
import css from "./Post.module.css";

/** With what it was made, as far as its author shares that. */
export function ProvenancePanel({ post, onTree }: { post: Post; onTree: () => void }) {
  const made = post.provenance;
  const size = [dimensions(post.width, post.height), post.duration_ms ? duration(post.duration_ms) : ""]
    .filter(Boolean)
    .join(" · ");
  const facts: [string, React.ReactNode][] = [];
  if (made.tool)
    facts.push([
      "Tool",
      <Link key="tool" to={`/tools/${made.tool}`}>
        {humanise(made.tool)} {made.version}
      </Link>,
    ]);
  if (made.model) facts.push(["Model", <code key="model">{made.model}</code>]);
  if (size) facts.push(["Size", size]);
  const parameters = parameterFacts(made.tool, made.parameters);
  return (
    <section className={css.provenance} aria-label="Provenance">
      <header>
        <h2>How it was made</h2>
        <Button look="quiet" icon="remix" onClick={onTree}>
          Remix tree
        </Button>
      </header>
      <dl>
        {facts.map(([name, value]) => (
          <Fact key={name} name={name} value={value} />
        ))}
        {parameters.map(([name, value]) => (
          <Fact key={`p-${name}`} name={name} value={value} />
        ))}
      </dl>
      {!made.tool && <p className={css.quiet}>It was brought in as it is: no tool of this studio made it.</p>}
      {made.tool && !post.share_parameters && (
        <p className={css.quiet}>
          {post.is_mine ? "Only you see the parameters." : "The author keeps the parameters."}
        </p>
      )}
      {!post.remixable && <p className={css.quiet}>The author does not offer it for remixes.</p>}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
