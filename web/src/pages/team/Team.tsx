import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { useSearchParams } from "react-router";
import { api } from "../../api/http";
import { invitationsQuery, keys, mandatesQuery, membersQuery } from "../../api/queries";
import type { Mandate, Member, NewInvitation } from "../../api/types";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { credits, date, humanise } from "../../lib/format";
import { countBelow, countEnded, mandateSentence, mandateTree, type Node } from "../../lib/mandate";
import { Bar, Button, Dialog, Empty, Loaded, ProblemView, SelectField, Tag, TextField, useCopy } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { GiveDialog } from "./GiveDialog";
import css from "./Team.module.css";

export default function Team() {
  const { organisation } = useSession();
  const [search, setSearch] = useSearchParams();
  const inviting = search.has("invite");
  return (
    <Page
      title={organisation.name}
      lead="Who is here, and who may do what with how much. Authority and its budget are one thing that is given, watched and taken back."
      actions={
        <Button look="primary" icon="plus" onClick={() => setSearch({ invite: "1" })}>
          Invite somebody
        </Button>
      }
    >
      <Mandates />
      <Members />
      <Invitations />
      <InviteDialog open={inviting} onClose={() => setSearch({}, { replace: true })} />
    </Page>
  );
}

function Mandates() {
  const mandates = useQuery(mandatesQuery);
  const members = useQuery(membersQuery);
  const [giving, setGiving] = useState<Mandate | null>(null);
  const [showEnded, setShowEnded] = useState(false);
  const ended = mandates.data ? countEnded(mandateTree(mandates.data.items)) : 0;
  return (
    <Section
      title="Mandates"
      aside={
        ended > 0 && (
          <Button look="quiet" aria-pressed={showEnded} onClick={() => setShowEnded(!showEnded)}>
            {showEnded ? "Hide" : "Show"} {ended} that ended
          </Button>
        )
      }
    >
      <Loaded of={mandates} waiting="Fetching the mandates…">
        {({ items }) => {
          const tree = mandateTree(items);
          if (tree.length === 0)
            return (
              <Empty title="You hold no mandate here">
                Whoever owns this organisation can give you one: what you may do, and with how many credits. Until then
                you can look, and run nothing.
              </Empty>
            );
          return (
            <ul className={css.tree}>
              {tree.map((node) => (
                <MandateNode
                  key={node.mandate.id}
                  node={node}
                  members={members.data?.items ?? []}
                  showEnded={showEnded}
                  onGive={setGiving}
                />
              ))}
            </ul>
          );
        }}
      </Loaded>
      {giving && <GiveDialog parent={giving} members={members.data?.items ?? []} onClose={() => setGiving(null)} />}
    </Section>
  );
}

function nameOf(userId: string, members: Member[]): string {
  return members.find((one) => one.user_id === userId)?.name ?? "Somebody who left";
}

function MandateNode({
  node,
  members,
  showEnded,
  onGive,
}: {
  node: Node;
  members: Member[];
  showEnded: boolean;
  onGive: (mandate: Mandate) => void;
}) {
  const { me } = useSession();
  const { mandate, live } = node;
  const [taking, setTaking] = useState(false);
  if (!live && !showEnded) return null;
  const project = me.projects.find((one) => one.id === mandate.project_id)?.name ?? null;
  const mine = mandate.grantee_id === me.user.id;
  const below = countBelow(node);
  const isRoot = mandate.role === "owner";
  return (
    <li>
      <div className={css.mandate} data-ended={!live || undefined}>
        <p className={css.sentence}>
          <b>{nameOf(mandate.grantee_id, members)}</b>
          {mine && " (you)"} {isRoot ? "owns the organisation and all its credits" : mandateSentence(mandate, project)}
          {purpose(mandate, isRoot)}{" "}
          {!live && <Tag>{mandate.state === "active" ? "Ended above" : humanise(mandate.state)}</Tag>}
        </p>
        <EnvelopeLine mandate={mandate} />
        {live && (
          <div className={css.actions}>
            {mandate.depth_max > 0 && mine && <Button onClick={() => onGive(mandate)}>Give a part of it</Button>}
            {mandate.parent_id && !mine && !mandate.role && (
              <Button look="quiet" onClick={() => setTaking(true)}>
                Take back
              </Button>
            )}
          </div>
        )}
      </div>
      {node.children.length > 0 && (
        <ul className={css.tree}>
          {node.children.map((child) => (
            <MandateNode key={child.mandate.id} node={child} members={members} showEnded={showEnded} onGive={onGive} />
          ))}
        </ul>
      )}
      {taking && (
        <TakeBackDialog
          mandate={mandate}
          below={below}
          holder={nameOf(mandate.grantee_id, members)}
          onClose={() => setTaking(false)}
        />
      )}
    </li>
  );
}

function purpose(mandate: Mandate, isRoot: boolean): string {
  if (isRoot) return ".";
  if (mandate.role) return `, as ${mandate.role === "admin" ? "an" : "a"} ${mandate.role}.`;
  return mandate.purpose ? `, for “${mandate.purpose}”.` : ".";
}

function EnvelopeLine({ mandate }: { mandate: Mandate }) {
  const { amount_micro, left_micro, used_micro } = mandate.envelope;
  if (!amount_micro) return null;
  const left = left_micro ?? amount_micro - used_micro;
  return (
    <div className={css.envelope}>
      <Bar
        parts={[
          { value: left, color: "var(--slate)" },
          { value: used_micro, color: "var(--line-strong)" },
        ]}
      />
      <small>
        {credits(left)} left{used_micro > 0 ? ` · ${credits(used_micro)} used` : ""}
      </small>
    </div>
  );
}

function TakeBackDialog({
  mandate,
  holder,
  below,
  onClose,
}: {
  mandate: Mandate;
  holder: string;
  below: number;
  onClose: () => void;
}) {
  const client = useQueryClient();
  const { say } = useToasts();
  const revoke = useMutation({
    mutationFn: () => api.post(`/v1/mandates/${mandate.id}/revoke`),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.mandates });
      void client.invalidateQueries({ queryKey: keys.balance });
      say({ title: `Taken back from ${holder}`, text: "Nothing new can be spent under it." });
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Take it back from ${holder}?`}
      text={
        <>
          From now on nothing can be spent under it{below > 0 ? `, nor under the ${below} given on from it` : ""}. What
          waits in the queue is canceled; what runs is settled; what is unspent returns. To undo it you would give a new
          one.
        </>
      }
    >
      {revoke.error && <ProblemView error={revoke.error} />}
      <div className={css.dialogActions}>
        <Button look="primary" onClick={() => revoke.mutate()} because={revoke.isPending ? "One moment" : null}>
          Take it back
        </Button>
        <Button onClick={onClose}>Leave it</Button>
      </div>
    </Dialog>
  );
}

function Members() {
  const { me, organisation } = useSession();
  const client = useQueryClient();
  const { sayProblem, later } = useToasts();
  const members = useQuery(membersQuery);
  const remove = (member: Member) => {
    const before = client.getQueryData(keys.members);
    client.setQueryData<{ items: Member[] }>(
      keys.members,
      (old) => old && { ...old, items: old.items.filter((one) => one.user_id !== member.user_id) },
    );
    const putBack = () => client.setQueryData(keys.members, before);
    later(
      { title: `${member.name} is being removed`, text: `from ${organisation.name}` },
      () =>
        void api.delete(`/v1/identity/members/${member.user_id}`).then(
          () => client.invalidateQueries({ queryKey: keys.members }),
          (error: unknown) => {
            putBack();
            sayProblem(error);
          },
        ),
      putBack,
    );
  };
  return (
    <Section title="Members">
      <Loaded of={members} waiting="Fetching the members…">
        {({ items }) => (
          <ul className={css.members}>
            {items.map((member) => (
              <li key={member.user_id}>
                <span className={css.who}>
                  <b>{member.name}</b>
                  {member.user_id === me.user.id && " (you)"}
                  {member.email && <small>{member.email}</small>}
                </span>
                <Tag>{humanise(member.role)}</Tag>
                <span className={css.memberEnd}>
                  {member.user_id !== me.user.id && member.role !== "owner" && (
                    <Button look="quiet" onClick={() => remove(member)}>
                      Remove
                    </Button>
                  )}
                </span>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Section>
  );
}

function Invitations() {
  const invitations = useQuery(invitationsQuery);
  const items = invitations.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Section title="Invitations that wait">
      <ul className={css.members}>
        {items.map((one) => (
          <li key={one.id}>
            <span className={css.who}>{one.email}</span>
            <Tag>{humanise(one.role)}</Tag>
            <span className={css.memberEnd}>until {date(one.expires_at)}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function InviteDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const { copy } = useCopy();
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("member");
  const invite = useMutation({
    mutationFn: () => api.post<NewInvitation>("/v1/identity/invitations", { email, role }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.invitations }),
  });
  const close = () => {
    onClose();
    invite.reset();
    setEmail("");
  };
  const link = invite.data?.token ? `${location.origin}/join?token=${encodeURIComponent(invite.data.token)}` : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    invite.mutate();
  };
  return (
    <Dialog
      open={open}
      onClose={close}
      title="Invite somebody"
      text={
        link
          ? "Hand this link over. It is shown once, and works once, for this address."
          : "You get a link to hand over. A role lets them in; a mandate lets them spend."
      }
    >
      {link ? (
        <div className={css.form}>
          <TextField label={`Link for ${email}`} readOnly value={link} onFocus={(event) => event.target.select()} />
          <div className={css.dialogActions}>
            <Button look="primary" icon="copy" onClick={() => void copy(link, "Link copied")}>
              Copy the link
            </Button>
            <Button onClick={close}>Done</Button>
          </div>
        </div>
      ) : (
        <form className={css.form} onSubmit={submit}>
          <TextField
            label="E-mail"
            type="email"
            required
            autoComplete="off"
            value={email}
            onChange={(event) => setEmail(event.target.value)}
          />
          <SelectField label="Role" value={role} onChange={(event) => setRole(event.target.value)}>
            <option value="member">Member: works with what they are given</option>
            <option value="admin">Admin: also invites and removes members</option>
            <option value="viewer">Viewer: looks, and runs nothing</option>
          </SelectField>
          {invite.error && <ProblemView error={invite.error} />}
          <div className={css.dialogActions}>
            <Button type="submit" look="primary" because={invite.isPending ? "One moment" : null}>
              Make the link
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
