import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import {
  boardCalls,
  boardKeys,
  boardMembersQuery,
  sharesQuery,
  type BoardRole,
  type BoardSummary,
  type Share,
} from "../../../api/boards";
import { membersQuery } from "../../../api/queries";
import { useSession } from "../../../app/session";
import { dateTime } from "../../../lib/format";
import { Button, Dialog, Icon, Loaded, ProblemView, SelectField, Tag, useCopy } from "../../../ui";
import { useToasts } from "../../../ui/toasts";
import { useOpen } from "../context";
import { Face } from "../Face";
import { roleWord } from "../words";
import css from "./share.module.css";

const ROLES: { role: BoardRole; says: string }[] = [
  { role: "viewer", says: "May look" },
  { role: "commenter", says: "May look and comment" },
  { role: "editor", says: "May edit" },
];
const DAY_S = 86_400;
const LASTS = [
  { value: "", label: "Until it is taken back" },
  { value: String(DAY_S), label: "One day" },
  { value: String(7 * DAY_S), label: "One week" },
] as const;

/** Who may do what with this board: links, people, and how to take either back. */
export default function ShareDialog({ summary, onClose }: { summary: BoardSummary; onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Share this board" text={summary.title}>
      <div className={css.share}>
        <NewLink />
        <Links />
        <People />
        <AsTemplate summary={summary} />
      </div>
    </Dialog>
  );
}

function NewLink() {
  const { id } = useOpen();
  const client = useQueryClient();
  const { copy } = useCopy();
  const [role, setRole] = useState<BoardRole>("viewer");
  const [lasts, setLasts] = useState<string>("");
  const [made, setMade] = useState<Share | null>(null);
  const make = useMutation({
    mutationFn: () => boardCalls.share(id, { role, ...(lasts ? { expires_in_s: Number(lasts) } : {}) }),
    onSuccess: (share) => {
      setMade(share);
      return client.invalidateQueries({ queryKey: boardKeys.shares(id) });
    },
  });
  const address = made?.url ? new URL(made.url, location.origin).href : "";
  return (
    <section className={css.section}>
      <h3>By a link</h3>
      <div className={css.two}>
        <SelectField label="Whoever has it" value={role} onChange={(event) => setRole(event.target.value as BoardRole)}>
          {ROLES.map((one) => (
            <option key={one.role} value={one.role}>
              {one.says}
            </option>
          ))}
        </SelectField>
        <SelectField label="It works" value={lasts} onChange={(event) => setLasts(event.target.value)}>
          {LASTS.map((one) => (
            <option key={one.value} value={one.value}>
              {one.label}
            </option>
          ))}
        </SelectField>
      </div>
      {made ? (
        <div className={css.made}>
          <input readOnly aria-label="The link" value={address} onFocus={(event) => event.target.select()} />
          <Button icon="copy" onClick={() => void copy(address, "Link copied")}>
            Copy
          </Button>
          <p>It is shown this once. {roleWord(made.role)}.</p>
        </div>
      ) : (
        <Button look="primary" because={make.isPending ? "It is being made" : null} onClick={() => make.mutate()}>
          Make a link
        </Button>
      )}
      {make.error ? <ProblemView error={make.error} /> : null}
    </section>
  );
}

function Links() {
  const { id } = useOpen();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const shares = useQuery(sharesQuery(id));
  const remove = useMutation({
    mutationFn: (share: string) => boardCalls.unshare(id, share),
    onSettled: () => client.invalidateQueries({ queryKey: boardKeys.shares(id) }),
    onError: sayProblem,
  });
  if (!shares.data?.length) return null;
  return (
    <ul className={css.list} aria-label="Links that work">
      {shares.data.map((share) => (
        <li key={share.id}>
          <span>
            {roleWord(share.role)} · made {dateTime(share.created_at)}
            {share.expires_at && ` · until ${dateTime(share.expires_at)}`}
          </span>
          <Button look="quiet" danger onClick={() => remove.mutate(share.id)}>
            Take back
          </Button>
        </li>
      ))}
    </ul>
  );
}

function People() {
  const { id } = useOpen();
  const { me } = useSession();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const people = useQuery(boardMembersQuery(id));
  const organisation = useQuery(membersQuery);
  const refresh = () => client.invalidateQueries({ queryKey: boardKeys.members(id) });
  const set = useMutation({
    mutationFn: ({ user, role }: { user: string; role: BoardRole }) => boardCalls.addMember(id, user, role),
    onSettled: refresh,
    onError: sayProblem,
  });
  const remove = useMutation({
    mutationFn: (user: string) => boardCalls.removeMember(id, user),
    onSettled: refresh,
    onError: sayProblem,
  });
  const isGuest = (user: string) =>
    organisation.data !== undefined && !organisation.data.items.some((one) => one.user_id === user);
  const here = new Set(people.data?.map((one) => one.user_id));
  const others = (organisation.data?.items ?? []).filter((one) => one.user_id !== me.user.id && !here.has(one.user_id));
  return (
    <section className={css.section}>
      <h3>People</h3>
      <Loaded of={people} waiting="Fetching who may open it…">
        {(all) => (
          <ul className={css.list} aria-label="People of this board">
            {all.length === 0 && <li className={css.quiet}>Only you, and whoever has a link.</li>}
            {all.map((one) => (
              <li key={one.user_id}>
                <Face id={one.user_id} name={one.name} />
                <span className={css.person}>
                  {one.user_id === me.user.id ? "You" : one.name}
                  {isGuest(one.user_id) && <small>from another organisation</small>}
                </span>
                {one.role === "owner" ? (
                  <Tag>{roleWord(one.role)}</Tag>
                ) : (
                  <>
                    <select
                      className={css.role}
                      aria-label={`What ${one.name} may do`}
                      value={one.role}
                      onChange={(event) => set.mutate({ user: one.user_id, role: event.target.value as BoardRole })}
                    >
                      {ROLES.map((role) => (
                        <option key={role.role} value={role.role}>
                          {roleWord(role.role)}
                        </option>
                      ))}
                    </select>
                    <Button
                      look="quiet"
                      icon="close"
                      aria-label={`Take ${one.name} off this board`}
                      onClick={() => remove.mutate(one.user_id)}
                    />
                  </>
                )}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      {others.length > 0 && (
        <select
          className={css.role}
          aria-label="Add somebody of the organisation"
          value=""
          onChange={(event) => set.mutate({ user: event.target.value, role: "editor" })}
        >
          <option value="">Add somebody of the organisation…</option>
          {others.map((one) => (
            <option key={one.user_id} value={one.user_id}>
              {one.name}
            </option>
          ))}
        </select>
      )}
    </section>
  );
}

function AsTemplate({ summary }: { summary: BoardSummary }) {
  const { say, sayProblem } = useToasts();
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: () => boardCalls.makeTemplate(summary.id),
    onSuccess: () => {
      say({ title: "It is a template now", text: "It stands below your boards; this board stays as it is." });
      return client.invalidateQueries({ queryKey: ["board-templates"] });
    },
    onError: sayProblem,
  });
  return (
    <p className={css.template}>
      <Icon name="board" /> <span>Others can begin with a copy of it.</span>
      <Button because={make.isPending ? "It is being made" : null} onClick={() => make.mutate()}>
        Make a template of it
      </Button>
    </p>
  );
}
