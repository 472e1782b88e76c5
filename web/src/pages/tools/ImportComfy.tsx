import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useNavigate } from "react-router";
import { api } from "../../api/http";
import { keys } from "../../api/queries";
import type { JsonSchema } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { credits, listOf } from "../../lib/format";
import { Button, ButtonLink, Empty, Icon, ProblemView, TextField } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { DropAnywhere } from "../studio/DropAnywhere";
import { readWorkflow, toolName, type Workflow } from "./workflow";
import css from "./import.module.css";

/** A literal input of the workflow that the form can have. */
interface ProposedField {
  node: string;
  input: string;
  name: string;
  title: string;
  schema: JsonSchema;
  default?: unknown;
  chosen: boolean;
}
interface Missing {
  node: string;
  class_type?: string;
  title?: string;
  input?: string;
  model?: string;
  here?: string[];
}
interface Proposal {
  fields: ProposedField[];
  outputs: Missing[];
  missing_nodes: Missing[];
  missing_models: Missing[];
  problems: string[];
}

const PRICE_MICRO = 50_000;
const MICRO = 1_000_000;
const NAME_MAX = 48;

/** A workflow that ComfyUI exported becomes a tool with a form: one chooses what people may set. */
export default function ImportComfy() {
  const { staff } = useSession();
  const [workflow, setWorkflow] = useState<Workflow | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [name, setName] = useState("");
  /** A name that a person wrote stays; one that came from a file goes with it. */
  const [isTyped, setTyped] = useState(false);
  const propose = useMutation({
    mutationFn: (asked: { name: string; workflow: Workflow }) => api.post<Proposal>("/v1/tools/import/comfyui", asked),
  });
  const take = (file: File | undefined) => {
    if (!file) return;
    setFault(null);
    file
      .text()
      .then(readWorkflow)
      .then(
        (read) => {
          const next = isTyped && name ? name : toolName(file.name);
          setWorkflow(read);
          setName(next);
          propose.mutate({ name: next, workflow: read });
        },
        (error: unknown) => setFault(error instanceof Error ? error.message : String(error)),
      );
  };
  if (!staff) {
    return (
      <Page title="Import from ComfyUI">
        <Empty
          title="The staff of the studio imports workflows"
          actions={<ButtonLink to="/tools">To the tools</ButtonLink>}
        >
          What is imported runs on the studio’s machines and is offered to everybody, so its operator decides it.
        </Empty>
      </Page>
    );
  }
  return (
    <DropAnywhere onFiles={(files) => take(files[0])}>
      <Page
        title="Import from ComfyUI"
        lead="In ComfyUI choose “Export (API)”, and drop the file anywhere here. It is held against the studio’s own ComfyUI server before anything is published."
      >
        <Picker
          onFile={take}
          name={name}
          onName={(next) => {
            setTyped(true);
            setName(next);
          }}
          chosen={workflow !== null}
        />
        {fault && (
          <p className={css.fault} role="alert">
            <Icon name="warn" /> {fault}
          </p>
        )}
        {propose.isPending && (
          <p className={css.quiet} role="status">
            Asking the ComfyUI server what it has…
          </p>
        )}
        {propose.error && !propose.isPending && (
          <ProblemView
            error={propose.error}
            onRetry={workflow ? () => propose.mutate({ name, workflow }) : undefined}
          />
        )}
        {propose.data && workflow && (
          <Proposed key={propose.submittedAt} proposal={propose.data} workflow={workflow} name={name} />
        )}
      </Page>
    </DropAnywhere>
  );
}

function Picker({
  onFile,
  name,
  onName,
  chosen,
}: {
  onFile: (file: File | undefined) => void;
  name: string;
  onName: (name: string) => void;
  chosen: boolean;
}) {
  const picker = useRef<HTMLInputElement>(null);
  return (
    <div className={css.picker}>
      <input
        ref={picker}
        type="file"
        accept="application/json,.json"
        hidden
        data-testid="workflow"
        onChange={(event) => {
          onFile(event.target.files?.[0]);
          event.target.value = "";
        }}
      />
      <TextField
        label="Name of the tool"
        help="Lower-case letters, digits and hyphens. The name of one that was imported before makes its next version."
        maxLength={NAME_MAX}
        value={name}
        placeholder="film-stock"
        onChange={(event) => onName(toolName(event.target.value))}
      />
      <Button look={chosen ? "plain" : "primary"} icon="upload" onClick={() => picker.current?.click()}>
        {chosen ? "Choose another workflow" : "Choose a workflow"}
      </Button>
    </div>
  );
}

function Proposed({ proposal, workflow, name }: { proposal: Proposal; workflow: Workflow; name: string }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { say } = useToasts();
  const [fields, setFields] = useState(proposal.fields);
  const [label, setLabel] = useState("");
  const [description, setDescription] = useState("");
  const [price, setPrice] = useState(String(PRICE_MICRO / MICRO));
  const chosen = fields.filter((field) => field.chosen);
  const price_micro = Math.round(Number(price) * MICRO);
  const confirm = useMutation({
    mutationFn: () =>
      api.post<{ name: string; version: string }>("/v1/tools/import/comfyui/confirm", {
        name,
        workflow,
        ...(label.trim() ? { label: label.trim() } : {}),
        ...(description.trim() ? { description: description.trim() } : {}),
        fields: chosen.map(({ node, input, name, title }) => ({ node, input, name, title })),
        price_micro,
      }),
    onSuccess: (tool) => {
      void client.invalidateQueries({ queryKey: keys.tools });
      say({
        title: `${tool.name} ${tool.version} is published`,
        text: "It is in the catalogue, the studio and the API.",
      });
      void navigate(`/tools/${tool.name}`);
    },
  });
  const change = (at: number, to: Partial<ProposedField>) =>
    setFields((old) => old.map((field, index) => (index === at ? { ...field, ...to } : field)));
  const because = obstacle(proposal, name, price_micro) ?? (confirm.isPending ? "It is being published" : null);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (!because) confirm.mutate();
      }}
    >
      <Lacks proposal={proposal} />
      <Section title="What people may set">
        {fields.length === 0 ? (
          <p className={css.quiet}>The workflow has nothing that a form could set: it always makes the same.</p>
        ) : (
          <ul className={css.fields}>
            {fields.map((field, index) => (
              <li key={`${field.node}.${field.input}`} data-chosen={field.chosen || undefined}>
                <label>
                  <input
                    type="checkbox"
                    checked={field.chosen}
                    onChange={(event) => change(index, { chosen: event.target.checked })}
                  />
                  <span>
                    <code>
                      {field.node}.{field.input}
                    </code>
                    <small>{kindWords(field)}</small>
                  </span>
                </label>
                <input
                  className={css.title}
                  aria-label={`Title of ${field.node}.${field.input}`}
                  value={field.title}
                  disabled={!field.chosen}
                  onChange={(event) => change(index, { title: event.target.value })}
                />
              </li>
            ))}
          </ul>
        )}
      </Section>
      <Section title="How it is offered">
        <div className={css.offer}>
          <TextField label="Label" value={label} maxLength={64} onChange={(event) => setLabel(event.target.value)} />
          <TextField
            label="What it does, in a sentence"
            value={description}
            maxLength={500}
            onChange={(event) => setDescription(event.target.value)}
          />
          <TextField
            label="Credits a run"
            type="number"
            min={0.000001}
            step="any"
            value={price}
            help={price_micro > 0 ? `${credits(price_micro)} credits are held and charged for each run.` : ""}
            onChange={(event) => setPrice(event.target.value)}
          />
        </div>
        {confirm.error && !confirm.isPending && <ProblemView error={confirm.error} />}
        <div className={css.actions}>
          <Button type="submit" look="primary" icon="check" because={because}>
            Publish the tool
          </Button>
          {because && <span className={css.quiet}>{because}</span>}
        </div>
      </Section>
    </form>
  );
}

function obstacle(proposal: Proposal, name: string, price_micro: number): string | null {
  if (proposal.missing_nodes.length > 0) return "The server lacks nodes that it needs";
  if (proposal.missing_models.length > 0) return "The server lacks models that it needs";
  if (proposal.problems.length > 0) return "Something is in the way";
  if (!name) return "It needs a name";
  return price_micro > 0 ? null : "A run costs something";
}

/** Everything that is missing, at once, so that one installs it at once. */
function Lacks({ proposal }: { proposal: Proposal }) {
  const { missing_nodes, missing_models, problems, outputs } = proposal;
  if (missing_nodes.length + missing_models.length + problems.length === 0) {
    return (
      <p className={css.good} role="status">
        <Icon name="check" /> The server has every node and model of it. It makes{" "}
        {listOf(outputs.map((output) => output.title ?? output.class_type ?? output.node)) || "nothing that is saved"}.
      </p>
    );
  }
  return (
    <section className={css.lacks} role="alert" aria-label="What is in the way">
      {missing_nodes.length > 0 && (
        <>
          <h2>
            <Icon name="warn" /> Nodes that the server lacks
          </h2>
          <ul>
            {missing_nodes.map((one) => (
              <li key={one.node}>
                <code>{one.class_type}</code> {one.title && one.title !== one.class_type ? `(${one.title})` : ""} at{" "}
                {one.node}
              </li>
            ))}
          </ul>
        </>
      )}
      {missing_models.length > 0 && (
        <>
          <h2>
            <Icon name="warn" /> Models that the server lacks
          </h2>
          <ul>
            {missing_models.map((one) => (
              <li key={`${one.node}.${one.input}`}>
                <code>{one.model}</code> at {one.node}.{one.input}
                {one.here && one.here.length > 0 && <small>here are {listOf(one.here.slice(0, 6))}</small>}
              </li>
            ))}
          </ul>
        </>
      )}
      {problems.length > 0 && (
        <ul>
          {problems.map((problem) => (
            <li key={problem}>{problem}</li>
          ))}
        </ul>
      )}
    </section>
  );
}

function kindWords({ schema, default: initial }: ProposedField): string {
  const type = schema.format === "asset" ? "picture" : schema.enum ? "choice" : String(schema.type ?? "text");
  const text = typeof initial === "string" || typeof initial === "number" ? String(initial) : "";
  return text ? `${type}, now ${text.length > 48 ? `${text.slice(0, 48)}…` : text}` : type;
}
