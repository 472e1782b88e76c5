import { useInfiniteQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { api } from "../../api/http";
import { assetsQuery, keys } from "../../api/queries";
import type { Asset, Page as ApiPage } from "../../api/types";
import { Page } from "../../app/Page";
import { bytes, dimensions, duration } from "../../lib/format";
import { isImage, isVideo, previewUrl, ratioOf } from "../../lib/media";
import { useWidth } from "../../lib/useSize";
import { clampRatio, wallRows } from "../../lib/wall";
import { Button, ButtonLink, Empty, Icon, Loaded } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./Library.module.css";

const ROW_PX = 220;
const ROW_PX_PHONE = 150;
const GAP_PX = 4;
const PHONE_PX = 560;

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
  const has = KINDS.find((one) => one.kind === kind)?.has ?? (() => true);
  const shown = (assets.data?.pages.flatMap((page) => page.items) ?? []).filter(
    (asset) => asset.state === "ready" && has(asset),
  );
  return (
    <Page
      title="Library"
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
              assets={shown}
              more={assets.hasNextPage ? () => void assets.fetchNextPage() : null}
              onRemove={remove}
            />
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

function Wall({
  assets,
  more,
  onRemove,
}: {
  assets: Asset[];
  more: (() => void) | null;
  onRemove: (asset: Asset) => void;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const rows = width > 0 ? wallRows(assets, ratioOf, width, width < PHONE_PX ? ROW_PX_PHONE : ROW_PX, GAP_PX) : [];
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (index) => (rows[index]?.height_px ?? ROW_PX) + GAP_PX,
    overscan: 3,
    scrollMargin: frame.current?.offsetTop ?? 0,
  });
  useEffect(() => virtual.measure(), [virtual, width, assets.length]);
  const visible = virtual.getVirtualItems();
  const atEnd = (visible.at(-1)?.index ?? 0) >= rows.length - 1;
  useEffect(() => {
    if (atEnd && rows.length > 0) more?.();
  }, [atEnd, rows.length, more]);

  return (
    <div ref={frame}>
      <ul className={css.wall} style={{ height: virtual.getTotalSize() }}>
        {visible.flatMap((line) => {
          const row = rows[line.index];
          if (!row) return [];
          let left = 0;
          return row.items.map((asset) => {
            const tileWidth = clampRatio(ratioOf(asset)) * row.height_px;
            const style = {
              width: tileWidth,
              height: row.height_px,
              transform: `translate(${left}px, ${line.start - virtual.options.scrollMargin}px)`,
            };
            left += tileWidth + GAP_PX;
            return <Tile key={asset.id} asset={asset} style={style} onRemove={onRemove} />;
          });
        })}
      </ul>
    </div>
  );
}

function Tile({
  asset,
  style,
  onRemove,
}: {
  asset: Asset;
  style: React.CSSProperties;
  onRemove: (asset: Asset) => void;
}) {
  const facts = [
    dimensions(asset.width, asset.height),
    asset.duration_ms ? duration(asset.duration_ms) : "",
    bytes(asset.size_bytes),
  ];
  return (
    <li className={css.tile} style={style}>
      <Link to={`/library/${asset.id}`} aria-label={`${asset.name}, ${facts.filter(Boolean).join(", ")}`}>
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
      <Button
        look="quiet"
        icon="trash"
        className={css.remove}
        aria-label={`Delete ${asset.name}`}
        onClick={() => onRemove(asset)}
      />
    </li>
  );
}
