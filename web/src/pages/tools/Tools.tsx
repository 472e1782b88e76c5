import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { toolsQuery } from "../../api/queries";
import type { Tool } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { humanise } from "../../lib/format";
import { ButtonLink, Empty, Loaded, Tag } from "../../ui";
import { ToolExample } from "../../ui/ToolMedia";
import { BrokenExtensions } from "./BrokenTool";
import css from "./tools.module.css";

const CATEGORIES: [string, string][] = [
  ["image", "Pictures"],
  ["video", "Clips"],
  ["audio", "Sound"],
  ["safety", "Safety"],
];

/** Everything that can be done to a picture, a clip or a text, by what it does and not by its name. */
export default function Tools() {
  const { staff } = useSession();
  const tools = useQuery(toolsQuery);
  return (
    <Page
      title="Tools"
      wide
      lead="Move the line on a picture to see what a tool does to it."
      actions={
        staff && (
          <ButtonLink to="/tools/import" icon="plus">
            Import from ComfyUI
          </ButtonLink>
        )
      }
    >
      <Loaded of={tools} waiting="Fetching the catalogue…">
        {(items) =>
          items.length === 0 ? (
            <Empty title="No tool is registered here">
              An operator adds one with a manifest; a developer with a folder of twelve lines of Python:{" "}
              <code>backlot tool new</code>.
            </Empty>
          ) : (
            <>
              <BrokenExtensions />
              {grouped(items).map(([name, of]) => (
                <Section key={name} title={name}>
                  <ul className={css.catalogue}>
                    {of.map((tool) => (
                      <Entry key={tool.name} tool={tool} />
                    ))}
                  </ul>
                </Section>
              ))}
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function grouped(tools: Tool[]): [string, Tool[]][] {
  const known = CATEGORIES.map(([category, name]): [string, Tool[]] => [
    name,
    tools.filter((tool) => tool.category === category),
  ]);
  const rest = tools.filter((tool) => !CATEGORIES.some(([category]) => category === tool.category));
  return [...known, ["Others", rest] as [string, Tool[]]].filter(([, of]) => of.length > 0);
}

function Entry({ tool }: { tool: Tool }) {
  return (
    <li>
      <div className={css.example}>
        <ToolExample tool={tool} />
      </div>
      <div className={css.words}>
        <div>
          <h3>
            <Link to={`/tools/${tool.name}`}>{tool.label || humanise(tool.name)}</Link>{" "}
            {tool.source && tool.source !== "builtin" && <Tag>{tool.source}</Tag>}
          </h3>
          <p>{tool.description}</p>
        </div>
        <ButtonLink to={`/studio?tool=${tool.name}`} aria-label={`Open ${tool.label} in the studio`}>
          Use it
        </ButtonLink>
      </div>
    </li>
  );
}
