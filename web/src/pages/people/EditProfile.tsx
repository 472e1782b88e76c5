import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useNavigate } from "react-router";
import { assetsQuery } from "../../api/queries";
import { myProfileQuery, type Profile } from "../../api/social";
import { upload } from "../../api/upload";
import { Page } from "../../app/Page";
import { useSession } from "../../app/session";
import { isImage, previewUrl } from "../../lib/media";
import { Button, Loaded } from "../../ui";
import { Avatar } from "../../ui/Avatar";
import { useToasts } from "../../ui/toasts";
import css from "./people.module.css";
import { ProfileForm } from "./ProfileForm";

const OFFERED_MAX = 10;

/** How others see the caller. */
export default function EditProfile() {
  const profile = useQuery(myProfileQuery);
  return (
    <Page
      title="Your profile"
      lead="What others see of you beside your work. Your e-mail and your organisation are not shown."
    >
      <Loaded of={profile}>{(me) => <Form me={me} />}</Loaded>
    </Page>
  );
}

function Form({ me }: { me: Profile }) {
  const navigate = useNavigate();
  const { say } = useToasts();
  const [avatar, setAvatar] = useState<string | null | undefined>(undefined);
  return (
    <ProfileForm
      submit="Save"
      avatarAsset={avatar}
      onSaved={(saved) => {
        say({ title: "Your profile is saved" });
        void navigate(`/people/${saved.handle}`);
      }}
    >
      <AvatarField me={me} chosen={avatar} onChoose={setAvatar} />
    </ProfileForm>
  );
}

function AvatarField({
  me,
  chosen,
  onChoose,
}: {
  me: Profile;
  chosen: string | null | undefined;
  onChoose: (asset: string | null) => void;
}) {
  const { project } = useSession();
  const { sayProblem } = useToasts();
  const picker = useRef<HTMLInputElement>(null);
  const [sending, setSending] = useState(false);
  const assets = useInfiniteQuery(assetsQuery);
  const offered = (assets.data?.pages[0]?.items ?? [])
    .filter((asset) => isImage(asset) && asset.state === "ready")
    .slice(0, OFFERED_MAX);
  const shown = chosen === undefined ? me.avatar_url : chosen && previewUrl(chosen);
  const send = (file: File | undefined) => {
    if (!file) return;
    setSending(true);
    upload(file, project?.id ?? null, () => undefined)
      .done.then((asset) => onChoose(asset.id), sayProblem)
      .finally(() => setSending(false));
  };
  return (
    <fieldset className={css.avatarField}>
      <legend>Picture</legend>
      <Avatar of={{ handle: me.handle, name: me.name, avatar_url: shown }} size={72} />
      <div>
        <div className={css.avatarActions}>
          <input
            ref={picker}
            type="file"
            accept="image/*"
            hidden
            data-testid="avatar-file"
            onChange={(event) => {
              send(event.target.files?.[0]);
              event.target.value = "";
            }}
          />
          <Button icon="upload" onClick={() => picker.current?.click()} because={sending ? "It is being sent" : null}>
            {sending ? "Sending…" : "Bring one"}
          </Button>
          {shown && (
            <Button look="quiet" onClick={() => onChoose(null)}>
              Show my initials
            </Button>
          )}
        </div>
        {offered.length > 0 && (
          <ul aria-label="From the library">
            {offered.map((asset) => (
              <li key={asset.id}>
                <button
                  type="button"
                  aria-pressed={chosen === asset.id}
                  aria-label={`Use ${asset.name}`}
                  onClick={() => onChoose(asset.id)}
                >
                  <img src={previewUrl(asset.id)} alt="" loading="lazy" />
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
    </fieldset>
  );
}
