import { useQueries } from "@tanstack/react-query";
import { useMemo, useSyncExternalStore } from "react";
import { assetQuery } from "../../../api/queries";
import type { Asset } from "../../../api/types";
import { useOpen, useTracks } from "../context";
import type { NodeFacts } from "../doc/facts";
import { filmMs, placed, type Placed } from "../doc/film";
import type { Media } from "../doc/ports";
import type { BoardNode, Clip } from "../doc/types";
import { nodeTitle } from "../words";

/** A clip with what it shows. */
export interface Frame extends Placed {
  node: BoardNode | undefined;
  title: string;
  asset: string | null;
  makes: Media | null;
  facts: NodeFacts;
  /** How long its source is; null for a still. */
  sourceMs: number | null;
}
export interface Film {
  frames: readonly Frame[];
  ms: number;
}

const NO_CLIPS: readonly Clip[] = [];

/** The film as it is now: each clip of the first track of pictures at its place. */
export function useFilm(): Film {
  return useTrack("video");
}

export function useTrack(kind: "video" | "audio"): Film {
  const { board, facts, isHome } = useOpen();
  const tracks = useTracks();
  const version = useSyncExternalStore(facts.subscribe, () => facts.version);
  const clips = tracks.find((track) => track.kind === kind)?.clips ?? NO_CLIPS;
  const shown = useMemo(
    () => clips.map((clip) => ({ clip, facts: facts.of(clip.node), node: board.node(clip.node) })),
    [clips, facts, board, version],
  );
  const moving = [
    ...new Set(
      shown.flatMap(({ facts }) =>
        facts.asset && facts.makes !== "image" && !facts.shown?.duration_ms ? [facts.asset] : [],
      ),
    ),
  ];
  const assets = useQueries({
    queries: moving.map((id) => ({ ...assetQuery(id), staleTime: Infinity, enabled: isHome })),
  });
  const lengths = assets.map((one) => one.data?.duration_ms ?? 0).join();
  return useMemo(() => {
    const msOf = new Map(assets.flatMap(({ data }) => (data ? [[data.id, (data as Asset).duration_ms] as const] : [])));
    const byClip = new Map(shown.map((one) => [one.clip.id, one]));
    const sourceMs = (clip: Clip) => {
      const of = byClip.get(clip.id)?.facts;
      if (!of || of.makes === "image") return null;
      const told = byClip.get(clip.id)?.node?.params.duration_ms;
      return (of.shown?.duration_ms || msOf.get(of.asset ?? "")) ?? (typeof told === "number" ? told : null);
    };
    const frames = placed(clips, sourceMs).map((place): Frame => {
      const { facts: of, node } = byClip.get(place.clip.id) ?? { facts: facts.of(""), node: undefined };
      return {
        ...place,
        node,
        title: nodeTitle(node, facts.tool(node)),
        asset: of.asset,
        makes: of.makes,
        facts: of,
        sourceMs: sourceMs(place.clip),
      };
    });
    return { frames, ms: filmMs(frames) };
  }, [shown, clips, facts, lengths]);
}

/** What could be in the film and is not: everything with a picture or a clip, and shots. */
export function useOffFilm(): readonly BoardNode[] {
  const { board, facts } = useOpen();
  const tracks = useTracks();
  const version = useSyncExternalStore(facts.subscribe, () => facts.version);
  return useMemo(() => {
    const used = new Set(tracks.flatMap((track) => track.clips.map((clip) => clip.node)));
    const fedToShot = new Set(
      board.edges.filter((edge) => board.node(edge.to)?.kind === "shot" && used.has(edge.to)).map((edge) => edge.from),
    );
    return board.nodes.filter((node) => {
      if (used.has(node.id) || fedToShot.has(node.id)) return false;
      const { asset, makes } = facts.of(node.id);
      return asset !== null && (makes === "image" || makes === "video");
    });
  }, [board, facts, tracks, version]);
}
