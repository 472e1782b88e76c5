import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useRef, useState } from "react";
import { assetQuery, assetsQuery, keys } from "../api/queries";
import type { Asset } from "../api/types";
import { upload } from "../api/upload";
import { useSession } from "../app/session";
import { bytes, capital, dimensions, duration, listOf } from "../lib/format";
import { previewUrl } from "../lib/media";
import { mediaOf, takes, type AssetField, type MediaKind } from "../lib/schema";
import css from "./AssetPicker.module.css";
import { Button, Dialog, Empty, Icon, Loaded } from "./index";
import { useToasts } from "./toasts";

const WORD: Record<MediaKind, string> = { image: "picture", video: "clip", audio: "sound" };
const ICON = { image: "image", video: "play", audio: "sound" } as const;

/** A field of a form that takes a picture, a clip or a sound: from the library, or brought in now. */
export function AssetPicker({
  field,
  value,
  fault,
  onChange,
}: {
  field: AssetField;
  value: string | null;
  fault?: string | null;
  onChange: (assetId: string | undefined) => void;
}) {
  const [open, setOpen] = useState(false);
  const labelId = useId();
  const chosen = useQuery({ ...assetQuery(value ?? ""), enabled: value !== null }).data;
  const words = listOf(mediaOf(field).map((kind) => WORD[kind])).replace(" and ", " or ");
  return (
    <div className={css.field} role="group" aria-labelledby={labelId}>
      <span id={labelId} className={css.label}>
        {field.label}
        {!field.required && <small> can be left out</small>}
      </span>
      <div className={css.row}>
        <button type="button" className={css.chosen} onClick={() => setOpen(true)}>
          {chosen ? <Thumb asset={chosen} /> : <Icon name="plus" />}
          <span>
            {chosen ? chosen.name : `Choose a ${words}`}
            {chosen && <small>{factsOf(chosen)}</small>}
          </span>
        </button>
        {chosen && (
          <Button
            look="quiet"
            icon="close"
            aria-label={`Leave out ${field.label}`}
            onClick={() => onChange(undefined)}
          />
        )}
      </div>
      {fault ? (
        <p className={css.fault}>
          <Icon name="warn" size={14} /> {fault}
        </p>
      ) : (
        field.help && <p className={css.help}>{field.help}</p>
      )}
      {open && (
        <Chooser
          field={field}
          words={words}
          onClose={() => setOpen(false)}
          onChoose={(id) => {
            onChange(id);
            setOpen(false);
          }}
        />
      )}
    </div>
  );
}

function Chooser({
  field,
  words,
  onClose,
  onChoose,
}: {
  field: AssetField;
  words: string;
  onClose: () => void;
  onChoose: (id: string) => void;
}) {
  const assets = useInfiniteQuery(assetsQuery);
  const picker = useRef<HTMLInputElement>(null);
  const { send, sending } = useSend(onChoose);
  return (
    <Dialog open onClose={onClose} wide title={field.label} text={`A ${words} from the library, or a new one.`}>
      <div className={css.bring}>
        <input
          ref={picker}
          type="file"
          accept={field.accepts.join(",")}
          hidden
          data-testid={`file-${field.name}`}
          onChange={(event) => {
            send(event.target.files?.[0]);
            event.target.value = "";
          }}
        />
        <Button icon="upload" onClick={() => picker.current?.click()} because={sending ? "It is being sent" : null}>
          {sending ? "Sending…" : "Bring a new one"}
        </Button>
      </div>
      <Loaded of={assets} waiting="Fetching the library…">
        {({ pages }) => {
          const fitting = pages
            .flatMap((page) => page.items)
            .filter((asset) => asset.state === "ready" && takes(field, asset.content_type));
          if (fitting.length === 0) {
            return (
              <Empty title={`No ${words} is in the library yet`}>
                {capital(`bring one, and it is chosen here at once.`)}
              </Empty>
            );
          }
          return (
            <ul className={css.grid} aria-label="From the library">
              {fitting.map((asset) => (
                <li key={asset.id}>
                  <button type="button" onClick={() => onChoose(asset.id)}>
                    <Thumb asset={asset} />
                    <span>
                      {asset.name}
                      <small>{factsOf(asset)}</small>
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          );
        }}
      </Loaded>
      {assets.hasNextPage && (
        <Button onClick={() => void assets.fetchNextPage()} because={assets.isFetchingNextPage ? "One moment" : null}>
          More
        </Button>
      )}
    </Dialog>
  );
}

function useSend(onReady: (id: string) => void) {
  const { project } = useSession();
  const client = useQueryClient();
  const { sayProblem } = useToasts();
  const [sending, setSending] = useState(false);
  const send = (file: File | undefined) => {
    if (!file) return;
    setSending(true);
    upload(file, project?.id ?? null, () => undefined)
      .done.then((asset) => {
        client.setQueryData(keys.asset(asset.id), asset);
        void client.invalidateQueries({ queryKey: keys.assets });
        onReady(asset.id);
      }, sayProblem)
      .finally(() => setSending(false));
  };
  return { send, sending };
}

function Thumb({ asset }: { asset: Asset }) {
  const kind = asset.content_type.split("/")[0] as MediaKind;
  return kind === "audio" ? (
    <i className={css.thumb}>
      <Icon name={ICON.audio} />
    </i>
  ) : (
    <img className={css.thumb} src={previewUrl(asset.id)} alt="" loading="lazy" />
  );
}

function factsOf(asset: Asset): string {
  return [
    dimensions(asset.width, asset.height),
    asset.duration_ms ? duration(asset.duration_ms) : "",
    bytes(asset.size_bytes),
  ]
    .filter(Boolean)
    .join(" · ");
}
