import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { auditQuery } from "../../api/audit";
import { apiKeysQuery, membersQuery } from "../../api/queries";
import { manages } from "../../app/nav";
import { Page } from "../../app/Page";
import { useSession } from "../../app/session";
import { Button, ButtonLink, Empty, Loaded, SelectField } from "../../ui";
import css from "./audit.module.css";
import { LogByDay } from "./LogByDay";
import { auditIcon, auditSentence, KINDS, type Names } from "./sentences";

/** Who changed what in the organisation. What is shown of it is in the address. */
export default function Audit() {
  const session = useSession();
  if (!manages(session)) {
    return (
      <Page title="Audit log">
        <Empty
          title="Owners and admins read this"
          actions={
            <ButtonLink look="primary" to="/team">
              Who they are
            </ButtonLink>
          }
        >
          It says what everybody in {session.organisation.name} changed. What was logged of you is in the export of your
          account.
        </Empty>
      </Page>
    );
  }
  return (
    <Page
      title="Audit log"
      lead="Who changed what in this organisation, newest first. Nobody can change a line of it."
      actions={<Filters />}
    >
      <Log />
    </Page>
  );
}

function useWanted() {
  const [search, setSearch] = useSearchParams();
  const change = (name: "kind" | "by", value: string) =>
    setSearch((old) => {
      const next = new URLSearchParams(old);
      if (value) next.set(name, value);
      else next.delete(name);
      return next;
    });
  return { kind: search.get("kind"), by: search.get("by"), change, all: () => setSearch({}) };
}

function Filters() {
  const { kind, by, change } = useWanted();
  const members = useQuery(membersQuery).data?.items ?? [];
  const isListed = by === null || members.some((one) => one.user_id === by);
  return (
    <div className={css.filters}>
      <SelectField label="What" value={kind ?? ""} onChange={(event) => change("kind", event.target.value)}>
        <option value="">Everything</option>
        {KINDS.map((one) => (
          <option key={one.kind} value={one.kind}>
            {one.label}
          </option>
        ))}
      </SelectField>
      <SelectField label="Who" value={by ?? ""} onChange={(event) => change("by", event.target.value)}>
        <option value="">Everybody</option>
        {members.map((one) => (
          <option key={one.user_id} value={one.user_id}>
            {one.name}
          </option>
        ))}
        {!isListed && <option value={by}>Somebody who left</option>}
      </SelectField>
    </div>
  );
}

function Log() {
  const { kind, by, all } = useWanted();
  const names = useNames();
  const log = useInfiniteQuery(auditQuery({ kind, by }));
  const rows = log.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Loaded of={log} waiting="Reading the log…">
      {() =>
        rows.length === 0 ? (
          <Empty
            title="Nothing like this was logged"
            actions={
              <Button look="primary" onClick={all}>
                Show everything
              </Button>
            }
          >
            No line of this organisation’s log is of this kind and by this person.
          </Empty>
        ) : (
          <LogByDay
            of={log}
            lines={rows.map((row) => ({
              id: row.id,
              at: row.at,
              icon: auditIcon(row),
              words: auditSentence(row, names),
              about: row.subject,
            }))}
          />
        )
      }
    </Loaded>
  );
}

function useNames(): Names {
  const { me, organisation } = useSession();
  const members = useQuery(membersQuery).data?.items ?? [];
  const keys = useQuery({ ...apiKeysQuery, retry: false }).data?.items ?? [];
  return {
    person: (id) => members.find((one) => one.user_id === id)?.name ?? null,
    key: (id) => keys.find((one) => one.id === id)?.name ?? null,
    project: (id) => me.projects.find((one) => one.id === id)?.name ?? null,
    organisation: organisation.id,
  };
}
