import { useQuery } from "@tanstack/react-query";
import { useParams } from "react-router";
import { api } from "../../api/http";
import type { JsonSchema, Tool } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { humanise, listOf } from "../../lib/format";
import { priceWords, type PriceFormula } from "../../lib/price";
import { fieldsOf, initialValues, mediaOf, type Field } from "../../lib/schema";
import { Button, ButtonLink, Loaded, Tag, uiCss, useCopy } from "../../ui";
import { ToolExample } from "../../ui/ToolMedia";
import { BrokenTool } from "./BrokenTool";
import css from "./tools.module.css";

const MISSING = {
  title: "No tool has this name",
  words: "It may have left the catalogue, or be called otherwise by now.",
  to: "/tools",
  label: "All tools",
};

/** One tool: what it does, what it takes, what it costs, and how a program calls it. */
export default function ToolPage() {
  const { name = "" } = useParams();
  const tool = useQuery({
    queryKey: ["tool", name],
    queryFn: ({ signal }) => api.get<Tool>(`/v1/tools/${encodeURIComponent(name)}`, signal),
    retry: false,
  });
  if (!tool.data)
    return (
      <Page title="A tool">
        <Loaded of={tool} missing={MISSING}>
          {() => null}
        </Loaded>
      </Page>
    );
  return <Shown tool={tool.data} />;
}

function Shown({ tool }: { tool: Tool }) {
  const fields = fieldsOf(tool.input);
  const price = priceWords(tool.price as PriceFormula, tool.input);
  return (
    <Page
      title={tool.label || humanise(tool.name)}
      lead={tool.description}
      actions={
        <ButtonLink to={`/studio?tool=${tool.name}`} look="primary" icon="studio">
          Open in the studio
        </ButtonLink>
      }
    >
      {tool.problem && <BrokenTool name={tool.name} version={tool.version} problem={tool.problem} />}
      {(tool.before || tool.after || tool.examples.length > 0) && (
        <figure className={css.large}>
          <ToolExample tool={tool} />
          <figcaption>{captionOf(tool)}</figcaption>
        </figure>
      )}
      <Section title="What it takes">
        <div className={uiCss.scroll} tabIndex={0} role="region" aria-label="Inputs">
          <table className={uiCss.table}>
            <thead>
              <tr>
                <th>Name</th>
                <th>What</th>
                <th>Values</th>
                <th>Left out</th>
              </tr>
            </thead>
            <tbody>
              {fields.map((field) => (
                <tr key={field.name}>
                  <td>
                    <code>{field.name}</code>
                  </td>
                  <td>
                    {field.label}
                    {field.help && <span className={css.help}>{field.help}</span>}
                  </td>
                  <td>{valuesOf(field)}</td>
                  <td>{defaultOf(field, tool.input)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Section>
      <Section title="What it costs">
        <ul className={css.price}>
          {price.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        <p className={css.help}>The button in the studio carries the exact price before anything is spent.</p>
      </Section>
      <Section title="From a program">
        <Example tool={tool} fields={fields} />
      </Section>
      <Section title="What runs">
        <p>
          <code>
            {tool.model}:{tool.model_version}
          </code>
          , tool version {tool.version}
          {tool.versions.length > 1 &&
            `; earlier ones stay: ${listOf(tool.versions.filter((version) => version !== tool.version))}`}
          . {tool.source && tool.source !== "builtin" && <Tag>{tool.source}</Tag>}
        </p>
      </Section>
    </Page>
  );
}

function captionOf(tool: Tool): string {
  const example = tool.examples[0] as { title?: string; description?: string } | undefined;
  return [example?.title, example?.description].filter(Boolean).join(". ");
}

function valuesOf(field: Field): string {
  switch (field.kind) {
    case "asset":
      return `an asset: ${listOf(mediaOf(field)).replace(" and ", " or ")}`;
    case "choice":
      return field.options.map((option) => String(option.value)).join(", ");
    case "number":
      return [field.min ?? "any", field.max ?? "any"].join(" to ") + (field.unit ? ` ${field.unit}` : "");
    case "switch":
      return "true or false";
    case "text":
      return field.lengthMax ? `text, up to ${field.lengthMax} characters` : "text";
  }
}

function defaultOf(field: Field, input: JsonSchema): string {
  if (field.required) return "must be given";
  const value = input.properties?.[field.name]?.default;
  return value === undefined ? "nothing" : String(value);
}

function Example({ tool, fields }: { tool: Tool; fields: Field[] }) {
  const { copy } = useCopy();
  const input: Record<string, unknown> = { ...initialValues(fields) };
  for (const field of fields) {
    if (field.kind === "asset" && field.required) input[field.name] = "ASSET_ID";
    if (field.kind === "text" && field.required) input[field.name] = "…";
  }
  const command = [
    `curl ${location.origin}/v1/runs \\`,
    `  -H "Authorization: Bearer $BACKLOT_KEY" -H "Idempotency-Key: $(uuidgen)" \\`,
    `  --json '${JSON.stringify({ tool: tool.name, version: tool.version, input })}'`,
  ].join("\n");
  return (
    <>
      <pre className={css.command} tabIndex={0} aria-label="A command">
        {command}
      </pre>
      <Button icon="copy" onClick={() => void copy(command, "Command copied")}>
        Copy the command
      </Button>
    </>
  );
}
