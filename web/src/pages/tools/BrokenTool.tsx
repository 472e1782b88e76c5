import { useQuery } from "@tanstack/react-query";
import { extensionsQuery } from "../../api/queries";
import type { ExtensionProblem } from "../../api/types";
import { Icon } from "../../ui";
import css from "./tools.module.css";

/** Extensions whose files do not load as they are now, each with what it said. */
export function BrokenExtensions() {
  const broken = useQuery(extensionsQuery).data?.items.filter((one) => one.problem) ?? [];
  return broken.map((one) => (
    <BrokenTool key={one.name} name={one.name} version={one.version} problem={one.problem ?? { message: "" }} />
  ));
}

export function BrokenTool({
  name,
  version,
  problem,
}: {
  name: string;
  version: string | null;
  problem: ExtensionProblem;
}) {
  const place = [problem.file, problem.line].filter(Boolean).join(":");
  return (
    <section className={css.broken} role="alert" aria-label={`${name} does not load`}>
      <h2>
        <Icon name="warn" /> {name} does not load
      </h2>
      <p>
        {version
          ? `Version ${version} goes on running until its file is right again.`
          : "No version of it has run yet."}{" "}
        Save the file, and it is tried again at once.
      </p>
      <pre tabIndex={0} aria-label="What it said">
        {place && <b>{place} </b>}
        {problem.message}
      </pre>
    </section>
  );
}
