import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api } from "../../api/http";
import { keys, toolsQuery } from "../../api/queries";
import type { GiveMandate, Mandate, Member } from "../../api/types";
import { useSession } from "../../app/session";
import { credits } from "../../lib/format";
import { actionWords, GIVABLE, mandateSentence } from "../../lib/mandate";
import { Button, Dialog, ProblemView, SelectField, TextField, uiCss } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./Team.module.css";

const MICRO = 1_000_000;
const AMOUNT_DEFAULT = "50";

interface Draft {
  grantee: string;
  project: string;
  actions: string[];
  amount: string;
  mode: "transfer" | "cap";
  period: "life" | "day" | "month";
  tools: string[];
  unit: string;
  depth: string;
  until: string;
  purpose: string;
}

type Body = Required<Omit<GiveMandate, "envelope" | "share_bps">> & {
  tools: string[] | null;
  max_unit_price_micro: number | null;
  expires_at: string | null;
  envelope: { amount_micro: number; mode: Draft["mode"]; period: Draft["period"] };
};

/** Giving a part of a mandate on. The sentence below the fields is what will be true. */
export function GiveDialog({ parent, members, onClose }: { parent: Mandate; members: Member[]; onClose: () => void }) {
  const { me } = useSession();
  const client = useQueryClient();
  const { say } = useToasts();
  const others = members.filter((one) => one.user_id !== me.user.id);
  const [draft, setDraft] = useState<Draft>({
    grantee: others[0]?.user_id ?? "",
    project: parent.project_id ?? me.projects[0]?.id ?? "",
    actions: ["tools.run", "assets.*"],
    amount: AMOUNT_DEFAULT,
    mode: "transfer",
    period: "month",
    tools: [],
    unit: "",
    depth: "0",
    until: "",
    purpose: "",
  });
  const set = (change: Partial<Draft>) => setDraft((old) => ({ ...old, ...change }));
  const body = bodyOf(draft, parent.id);
  const give = useMutation({
    mutationFn: () => api.post<Mandate>("/v1/mandates", body),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.mandates });
      void client.invalidateQueries({ queryKey: keys.balance });
      say({ title: "Given", text: `${holder} may start at once.` });
      onClose();
    },
  });
  const holder = others.find((one) => one.user_id === draft.grantee)?.name ?? "Nobody yet";
  const project = me.projects.find((one) => one.id === draft.project)?.name ?? null;
  const because = others.length === 0 ? "Invite somebody first" : give.isPending ? "One moment" : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!because) give.mutate();
  };
  return (
    <Dialog
      open
      onClose={onClose}
      title="Give a part of it"
      text="Nobody can give what they do not hold; it can be taken back at any time."
    >
      <form className={css.form} onSubmit={submit}>
        <GiveFields draft={draft} set={set} parent={parent} others={others} />
        <p className={css.preview}>
          <b>{holder}</b> {mandateSentence(body, project)}
          {draft.purpose ? `, for “${draft.purpose}”.` : "."}
        </p>
        {give.error && <ProblemView error={give.error} />}
        <div className={css.dialogActions}>
          <Button type="submit" look="primary" because={because}>
            Give {credits(body.envelope.amount_micro)} credits
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function GiveFields({
  draft,
  set,
  parent,
  others,
}: {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  parent: Mandate;
  others: Member[];
}) {
  const { me } = useSession();
  const tools = useQuery(toolsQuery).data ?? [];
  return (
    <>
      <div className={css.pair}>
        <SelectField label="To" value={draft.grantee} onChange={(event) => set({ grantee: event.target.value })}>
          {others.length === 0 && <option value="">Nobody else is a member yet</option>}
          {others.map((one) => (
            <option key={one.user_id} value={one.user_id}>
              {one.name}
            </option>
          ))}
        </SelectField>
        <SelectField label="Where" value={draft.project} onChange={(event) => set({ project: event.target.value })}>
          {!parent.project_id && <option value="">The whole organisation</option>}
          {me.projects.map((one) => (
            <option key={one.id} value={one.id}>
              {one.name}
            </option>
          ))}
        </SelectField>
      </div>
      <Checks
        legend="May"
        options={GIVABLE.map((pattern) => [pattern, actionWords(pattern)])}
        chosen={draft.actions}
        onChange={(actions) => set({ actions })}
      />
      <div className={css.pair}>
        <TextField
          label="Credits"
          type="number"
          min={0}
          step="any"
          required
          value={draft.amount}
          onChange={(event) => set({ amount: event.target.value })}
        />
        <SelectField
          label="How"
          value={draft.mode}
          onChange={(event) => set({ mode: event.target.value as Draft["mode"] })}
        >
          <option value="transfer">Set aside for them</option>
          <option value="cap">A limit on what is shared</option>
        </SelectField>
      </div>
      {draft.mode === "cap" && (
        <SelectField
          label="The limit starts again"
          value={draft.period}
          onChange={(event) => set({ period: event.target.value as Draft["period"] })}
        >
          <option value="day">every day</option>
          <option value="month">every month</option>
          <option value="life">never</option>
        </SelectField>
      )}
      <Checks
        legend="Only these tools (none chosen: all)"
        options={tools.filter((one) => one.name !== "echo").map((one) => [one.name, one.label])}
        chosen={draft.tools}
        onChange={(chosen) => set({ tools: chosen })}
      />
      <div className={css.pair}>
        <TextField
          label="Most for one run"
          type="number"
          min={0}
          step="any"
          placeholder="no limit"
          value={draft.unit}
          onChange={(event) => set({ unit: event.target.value })}
        />
        <SelectField
          label="May be handed on"
          value={draft.depth}
          onChange={(event) => set({ depth: event.target.value })}
        >
          {Array.from({ length: Math.max(1, Math.min(4, parent.depth_max)) }, (_, depth) => (
            <option key={depth} value={depth}>
              {depth === 0 ? "no further" : depth === 1 ? "once" : `${depth} levels deep`}
            </option>
          ))}
        </SelectField>
        <TextField
          label="Until"
          type="date"
          value={draft.until}
          onChange={(event) => set({ until: event.target.value })}
        />
        <TextField
          label="For"
          required
          maxLength={200}
          placeholder="Teaser stills"
          value={draft.purpose}
          onChange={(event) => set({ purpose: event.target.value })}
        />
      </div>
    </>
  );
}

function bodyOf(draft: Draft, parentId: string): Body {
  return {
    parent_id: parentId,
    grantee_id: draft.grantee,
    project_id: draft.project || null,
    actions: draft.actions,
    tools: draft.tools.length > 0 ? draft.tools : null,
    max_unit_price_micro: draft.unit ? Math.round(Number(draft.unit) * MICRO) : null,
    envelope: {
      amount_micro: Math.round(Number(draft.amount || 0) * MICRO),
      mode: draft.mode,
      period: draft.mode === "cap" ? draft.period : "life",
    },
    depth_max: Number(draft.depth),
    expires_at: draft.until ? new Date(`${draft.until}T23:59:59Z`).toISOString() : null,
    purpose: draft.purpose,
  };
}

function Checks({
  legend,
  options,
  chosen,
  onChange,
}: {
  legend: string;
  options: [string, string][];
  chosen: string[];
  onChange: (chosen: string[]) => void;
}) {
  return (
    <fieldset className={uiCss.field}>
      <legend className={uiCss.label} style={{ padding: 0, marginBottom: 4 }}>
        {legend}
      </legend>
      <div className={css.checks}>
        {options.map(([value, words]) => (
          <label key={value} className={uiCss.switch}>
            <input
              type="checkbox"
              checked={chosen.includes(value)}
              onChange={(event) =>
                onChange(event.target.checked ? [...chosen, value] : chosen.filter((one) => one !== value))
              }
            />
            {words}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
