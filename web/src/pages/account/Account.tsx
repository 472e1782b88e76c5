import { useMutation, useQuery, useQueryClient, queryOptions } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import { keys as queryKeys } from "../../api/queries";
import { myProfileQuery } from "../../api/social";
import type { Page as ApiPage } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { date } from "../../lib/format";
import {
  Button,
  ButtonAnchor,
  ButtonLink,
  Dialog,
  Icon,
  Loaded,
  ProblemView,
  Tag,
  TextField,
  uiCss,
  When,
} from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { useToasts } from "../../ui/toasts";
import css from "./account.module.css";

interface Session {
  id: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
  current: boolean;
}

const sessionsQuery = queryOptions({
  queryKey: ["sessions"],
  queryFn: ({ signal }) => api.get<ApiPage<Session>>("/v1/identity/sessions", signal),
});
const PASSWORD_MIN = 10;

/** The person's own: who they are here, where they are signed in, their password, their data, and the way out. */
export default function Account() {
  const { me } = useSession();
  const profile = useQuery(myProfileQuery).data;
  return (
    <Page title="Account" lead={me.user.email}>
      <div className={css.me}>
        <Avatar of={profile ?? { handle: me.user.email, name: me.user.name, avatar_url: null }} size={56} />
        <div>
          <b>{profile?.name ?? me.user.name}</b>
          {profile?.made && (
            <p>
              <Link to={`/people/${profile.handle}`}>@{profile.handle}</Link>
            </p>
          )}
        </div>
        <ButtonLink to="/profile" icon="edit">
          Edit the profile
        </ButtonLink>
      </div>
      <Sessions />
      <Password />
      <YourData />
    </Page>
  );
}

function Sessions() {
  const sessions = useQuery(sessionsQuery);
  const client = useQueryClient();
  const { say, sayProblem } = useToasts();
  const end = useMutation({
    mutationFn: (id: string) => api.delete(`/v1/identity/sessions/${id}`),
    onSuccess: () => say({ title: "That session has ended" }),
    onError: sayProblem,
    onSettled: () => client.invalidateQueries({ queryKey: sessionsQuery.queryKey }),
  });
  const others = sessions.data?.items.filter((one) => !one.current) ?? [];
  const endOthers = useMutation({
    mutationFn: () => Promise.all(others.map((one) => api.delete(`/v1/identity/sessions/${one.id}`))),
    onSuccess: () => say({ title: "You are signed in here alone" }),
    onError: sayProblem,
    onSettled: () => client.invalidateQueries({ queryKey: sessionsQuery.queryKey }),
  });
  return (
    <Section
      title="Where you are signed in"
      aside={
        others.length > 0 && (
          <Button onClick={() => endOthers.mutate()} because={endOthers.isPending ? "One moment" : null}>
            End all others
          </Button>
        )
      }
    >
      <Loaded of={sessions} waiting="Fetching your sessions…">
        {({ items }) => (
          <div className={uiCss.scroll} tabIndex={0} role="region" aria-label="Sessions">
            <table className={uiCss.table}>
              <thead>
                <tr>
                  <th>Began</th>
                  <th>Last used</th>
                  <th>Ends if it is not used</th>
                  <th>
                    <span className="sr-only">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {items.map((session) => (
                  <tr key={session.id}>
                    <td>
                      <When at={session.created_at} />{" "}
                      {session.current && (
                        <Tag tone="good">
                          <Icon name="check" size={12} /> this one
                        </Tag>
                      )}
                    </td>
                    <td>
                      <When at={session.last_seen_at} />
                    </td>
                    <td>{date(session.expires_at)}</td>
                    <td className={uiCss.num}>
                      {!session.current && (
                        <Button look="quiet" onClick={() => end.mutate(session.id)}>
                          End it
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
    </Section>
  );
}

function Password() {
  const { me } = useSession();
  const { say } = useToasts();
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: () => api.post("/v1/identity/password", { old, new: fresh }),
    onSuccess: () => {
      say({ title: "The password is changed", text: "Your other sessions have ended." });
      setOld("");
      setFresh("");
      void client.invalidateQueries({ queryKey: sessionsQuery.queryKey });
    },
  });
  return (
    <Section title="Password">
      <form
        className={css.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (old && fresh.length >= PASSWORD_MIN && !change.isPending) change.mutate();
        }}
      >
        <input type="email" autoComplete="username" value={me.user.email} readOnly hidden />
        <TextField
          label="The one you have"
          type="password"
          autoComplete="current-password"
          value={old}
          onChange={(event) => setOld(event.target.value)}
        />
        <TextField
          label="The new one"
          type="password"
          autoComplete="new-password"
          help="A few words in a row are strong and easy to keep in mind."
          value={fresh}
          onChange={(event) => setFresh(event.target.value)}
        />
        {change.error && <ProblemView error={change.error} />}
        <div>
          <Button
            type="submit"
            because={
              !old
                ? "Write the one you have first"
                : fresh.length < PASSWORD_MIN
                  ? `The new one needs ${PASSWORD_MIN} characters`
                  : change.isPending
                    ? "One moment"
                    : null
            }
          >
            Change the password
          </Button>
        </div>
      </form>
    </Section>
  );
}

function YourData() {
  const [leaving, setLeaving] = useState(false);
  return (
    <Section title="Your data">
      <div className={css.data}>
        <p>
          Everything that identity holds about you, as one JSON document: your account, organisations, sessions, keys
          and what was logged of you.
        </p>
        <ButtonAnchor href="/v1/identity/export" download="backlot-export.json" icon="download">
          Export
        </ButtonAnchor>
        <p>
          Deleting the account ends every session and key, takes your posts off the wall and your name off what you
          said. The ledger keeps its lines, without your name.
        </p>
        <Button danger icon="trash" onClick={() => setLeaving(true)}>
          Delete the account
        </Button>
      </div>
      {leaving && <LeaveDialog onClose={() => setLeaving(false)} />}
    </Section>
  );
}

/** This one thing cannot be undone, so it is the one that asks. */
function LeaveDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [password, setPassword] = useState("");
  const leave = useMutation({
    mutationFn: () => api.delete("/v1/identity/me", { password }),
    onSuccess: () => {
      client.clear();
      client.setQueryData(queryKeys.me, null);
      location.assign("/sign-in");
    },
  });
  return (
    <Dialog open onClose={onClose} title="Delete the account?" text="This cannot be undone, by you or by us.">
      <form
        className={css.form}
        onSubmit={(event) => {
          event.preventDefault();
          if (password) leave.mutate();
        }}
      >
        <TextField
          label="Your password"
          type="password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        {leave.error && <ProblemView error={leave.error} />}
        <div className={uiCss.emptyActions}>
          <Button
            type="submit"
            danger
            icon="trash"
            because={!password ? "Write your password first" : leave.isPending ? "One moment" : null}
          >
            Delete it for good
          </Button>
          <Button onClick={onClose}>Keep it</Button>
        </div>
      </form>
    </Dialog>
  );
}
