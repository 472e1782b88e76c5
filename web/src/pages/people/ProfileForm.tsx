import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { api } from "../../api/http";
import { ProblemError } from "../../api/problem";
import { myProfileQuery, socialKeys, type Profile } from "../../api/social";
import { Button, FieldFrame, ProblemView, TextField, uiCss } from "../../ui";
import css from "./people.module.css";
import { HANDLE_MAX, HANDLE_MIN } from "../../publish/words";

const NAME_MAX = 60;
const BIO_MAX = 300;

/** Changes how the caller is called and shown in the community. */
export function ProfileForm({
  submit,
  avatarAsset,
  children,
  onSaved,
}: {
  submit: string;
  /** Undefined leaves the picture as it is. */
  avatarAsset?: string | null | undefined;
  children?: ReactNode;
  onSaved: (profile: Profile) => void;
}) {
  const client = useQueryClient();
  const old = useQuery(myProfileQuery).data;
  const [handle, setHandle] = useState(old?.handle ?? "");
  const [name, setName] = useState(old?.name ?? "");
  const [about, setAbout] = useState(old?.bio ?? "");
  const save = useMutation({
    mutationFn: () =>
      api.put<Profile>("/v1/profiles/me", {
        handle,
        name: name.trim(),
        bio: about.trim(),
        avatar_asset: avatarAsset === undefined ? (old?.avatar_asset ?? null) : avatarAsset,
      }),
    onSuccess: (profile) => {
      client.setQueryData(socialKeys.myProfile, { ...profile, made: true });
      void client.invalidateQueries({ queryKey: ["profile"] });
      void client.invalidateQueries({ queryKey: socialKeys.posts });
      onSaved(profile);
    },
  });
  const faults = save.error instanceof ProblemError ? (save.error.problem.errors ?? []) : [];
  const faultOf = (field: string) => faults.find((fault) => fault.pointer.startsWith(`/${field}`))?.message ?? null;
  const short = handle.length < HANDLE_MIN ? `A handle has at least ${HANDLE_MIN} characters` : null;
  return (
    <form
      className={css.form}
      onSubmit={(event) => {
        event.preventDefault();
        if (!short && name.trim() && !save.isPending) save.mutate();
      }}
    >
      {children}
      <TextField
        label="Handle"
        required
        maxLength={HANDLE_MAX}
        autoComplete="off"
        spellCheck={false}
        help="Begins with a letter; letters, digits and underscores. It is your address here."
        value={handle}
        fault={faultOf("handle")}
        onChange={(event) => setHandle(event.target.value.toLowerCase().replace(/[^a-z0-9_]/g, "_"))}
      />
      <TextField
        label="Name"
        required
        maxLength={NAME_MAX}
        value={name}
        fault={faultOf("name")}
        onChange={(event) => setName(event.target.value)}
      />
      <FieldFrame label="About you" help="What you make, and with what." fault={faultOf("bio")}>
        {({ id, describedBy }) => (
          <textarea
            id={id}
            className={uiCss.input}
            aria-describedby={describedBy}
            maxLength={BIO_MAX}
            value={about}
            onChange={(event) => setAbout(event.target.value)}
          />
        )}
      </FieldFrame>
      {save.error && <ProblemView error={save.error} />}
      <div className={uiCss.emptyActions}>
        <Button
          type="submit"
          look="primary"
          because={short ?? (!name.trim() ? "It needs a name" : save.isPending ? "It is being saved" : null)}
        >
          {submit}
        </Button>
      </div>
    </form>
  );
}
