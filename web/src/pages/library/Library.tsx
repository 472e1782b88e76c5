import { useInfiniteQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";
import { api } from "../../api/http";
import { assetsQuery, keys } from "../../api/queries";
import type { Asset, Page as ApiPage } from "../../api/types";
import { Page } from "../../app/Page";
import { bytes, dimensions, duration } from "../../lib/format";
import { isImage, isVideo, previewUrl, ratioOf } from "../../lib/media";
import { PublishDialog } from "../../publish/PublishDialog";
import { Button, ButtonLink, Empty, Icon, Loaded } from "../../ui";
import { useToasts } from "../../ui/toasts";
import { Wall } from "../../ui/Wall";
import css from "./Library.module.css";

type Kind = "all" | "pictures" | "clips" | "made";
const KINDS: { kind: Kind; label: string; has: (asset: Asset) => boolean }[] = [
  { kind: "all", label: "Everything", has: () => true },
  { kind: "pictures", label: "Pictures", has: isImage },
  { kind: "clips", label: "Clips", has: isVideo },
  { kind: "made", label: "Made here", has: (asset) => Boolean(asset.run_id) },
];

/** Everything that was brought in or made, each at its own aspect ratio. Only the rows in sight are in the page. */
export default function Library() {
  const assets = useInfiniteQuery(assetsQuery);
  const remove = useRemoveAsset();
  const [kind, setKind] = useState<Kind>("all");
  const [search, setSearch] = useSearchParams();
  const publishing = search.get("publish");
  const has = KINDS.find((one) => one.kind === kind)?.has ?? (() => true);
  const shown = (assets.data?.pages.flatMap((page) => page.items) ?? []).filter(
    (asset) => asset.state === "ready" && has(asset),
  );
  const published = shown.find((asset) => asset.id === publishing);
  return (
    <Page
      title={publishing ? "Publish from the library" : "Library"}
      lead={publishing ? "Choose what should hang on the wall. Nothing is shared until you have said what." : undefined}
      wide
      actions={
        <>
          <div role="group" aria-label="Show" className={css.kinds}>
            {KINDS.map((one) => (
              <Button key={one.kind} look="quiet" aria-pressed={one.kind === kind} onClick={() => setKind(one.kind)}>
                {one.label}
              </Button>
            ))}
          </div>
          <ButtonLink to="/studio?new=1" look="primary" icon="upload">
            New photograph
          </ButtonLink>
        </>
      }
    >
      <Loaded of={assets} waiting="Fetching the library…">
        {() =>
          shown.length > 0 ? (
            <Wall
              items={shown}
              idOf={(asset) => asset.id}
              ratioOf={ratioOf}
              label="Library"
              more={assets.hasNextPage && !assets.isFetchingNextPage ? () => void assets.fetchNextPage() : null}
            >
              {(asset) =>
                publishing ? (
                  <Tile asset={asset} to={`/library?publish=${asset.id}`} />
                ) : (
                  <Tile asset={asset} to={`/library/${asset.id}`} onRemove={remove} />
                )
              }
            </Wall>
          ) : kind === "all" ? (
            <Empty
              title="Nothing is here yet"
              actions={
                <ButtonLink to="/studio?new=1" look="primary" icon="upload">
                  Bring a photograph
                </ButtonLink>
              }
            >
              What you bring in, and everything that is made of it, hangs here at its own shape, with the run that made
              it one click away.
            </Empty>
          ) : (
            <Empty
              title="Nothing of this kind"
              actions={<Button onClick={() => setKind("all")}>Show everything</Button>}
            >
              The rest of the library is not shown while this is chosen.
            </Empty>
          )
        }
      </Loaded>
      {published && <PublishDialog asset={published} onClose={() => setSearch({ publish: "1" }, { replace: true })} />}
    </Page>
  );
}

/** Takes an asset off the wall at once; it is deleted a moment later, unless one undoes it. */
export function useRemoveAsset(): (asset: Asset) => void {
  const client = useQueryClient();
  const { later, sayProblem } = useToasts();
  return (asset) => {
    const before = client.getQueryData<InfiniteData<ApiPage<Asset>>>(keys.assets);
    client.setQueryData<InfiniteData<ApiPage<Asset>>>(
      keys.assets,
      (old) =>
        old && {
          ...old,
          pages: old.pages.map((page) => ({ ...page, items: page.items.filter((one) => one.id !== asset.id) })),
        },
    );
    const putBack = () => client.setQueryData(keys.assets, before);
    later(
      { title: `${asset.name} is being deleted`, text: "Runs that used it keep their results." },
      () =>
        void api.delete(`/v1/assets/${asset.id}`).then(
          () => client.invalidateQueries({ queryKey: keys.assets }),
          (error: unknown) => {
            putBack();
            sayProblem(error);
          },
        ),
      putBack,
    );
  };
}

function Tile({ asset, to, onRemove }: { asset: Asset; to: string; onRemove?: (asset: Asset) => void }) {
  const facts = [
    dimensions(asset.width, asset.height),
    asset.duration_ms ? duration(asset.duration_ms) : "",
    bytes(asset.size_bytes),
  ];
  return (
    <div className={css.tile}>
      <Link to={to} aria-label={`${asset.name}, ${facts.filter(Boolean).join(", ")}`}>
        <img src={previewUrl(asset.id)} alt="" loading="lazy" />
        {isVideo(asset) && (
          <i className={css.clip}>
            <Icon name="play" size={12} /> {asset.duration_ms ? duration(asset.duration_ms) : ""}
          </i>
        )}
        <span className={css.over} aria-hidden="true">
          <b>{asset.name}</b>
          <small>{facts.filter(Boolean).join(" · ")}</small>
        </span>
      </Link>
      {onRemove && (
        <Button
          look="quiet"
          icon="trash"
          className={css.remove}
          aria-label={`Delete ${asset.name}`}
          onClick={() => onRemove(asset)}
        />
      )}
    </div>
  );
}
