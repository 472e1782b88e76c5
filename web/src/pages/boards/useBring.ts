import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { keys } from "../../api/queries";
import type { Asset } from "../../api/types";
import { upload, UploadCanceled, type UploadHandle } from "../../api/upload";
import { ratioOf } from "../../lib/media";
import { useToasts } from "../../ui/toasts";
import type { Board } from "./doc/board";
import { mediaOf } from "./doc/ports";
import { freeBelow } from "./doc/place";
import { SIZES } from "./doc/types";

/** A file on its way in: it stands on the canvas where it will be. */
export interface Arriving {
  id: number;
  name: string;
  x: number;
  y: number;
  localUrl: string | null;
  fraction: number;
  cancel: () => void;
}

const BESIDE_PX = 24;
const FILES_MAX = 24;
const GUEST_TEXT = "Put a note where the picture should be, or publish it: whoever owns the board may remix it.";

/** Uploads files and puts a node for each on the board, where the person let them go. */
export function useBring(
  board: Board,
  projectId: string | null,
  select: (ids: readonly string[]) => void,
  isHome: boolean,
) {
  const client = useQueryClient();
  const { say, sayProblem } = useToasts();
  const [arriving, setArriving] = useState<Arriving[]>([]);
  const handles = useRef(new Set<UploadHandle>());
  const next = useRef(1);
  useEffect(() => {
    const open = handles.current;
    return () => open.forEach((handle) => handle.cancel());
  }, []);

  const bring = useCallback(
    (files: readonly File[], at: { x: number; y: number }) => {
      if (!isHome) return say({ title: "Only the board’s own organisation brings files here", text: GUEST_TEXT });
      if (files.length > FILES_MAX) say({ title: `The first ${FILES_MAX} of ${files.length} files are brought in` });
      files.slice(0, FILES_MAX).forEach((file, index) => {
        const id = next.current++;
        const place = {
          x: at.x - SIZES.image.w / 2 + (index % 4) * (SIZES.image.w + BESIDE_PX),
          y: at.y - SIZES.image.h / 2 + Math.floor(index / 4) * (SIZES.image.h + BESIDE_PX * 2),
        };
        const localUrl = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
        const gone = () => {
          handles.current.delete(handle);
          setArriving((all) => all.filter((one) => one.id !== id));
          if (localUrl) URL.revokeObjectURL(localUrl);
        };
        const handle = upload(file, projectId, (fraction) =>
          setArriving((all) => all.map((one) => (one.id === id ? { ...one, fraction } : one))),
        );
        handles.current.add(handle);
        setArriving((all) => [
          ...all,
          { id, name: file.name, ...place, localUrl, fraction: 0, cancel: () => handle.cancel() },
        ]);
        handle.done.then(
          (asset) => {
            gone();
            client.setQueryData(keys.asset(asset.id), asset);
            void client.invalidateQueries({ queryKey: keys.assets });
            select([addAsset(board, asset, place)]);
          },
          (error: unknown) => {
            gone();
            if (!(error instanceof UploadCanceled)) sayProblem(error);
          },
        );
      });
    },
    [board, projectId, isHome, client, say, sayProblem, select],
  );
  return { bring, arriving };
}

const RATIO_MIN = 0.5;
const RATIO_MAX = 2.4;

/** A node of an asset, at the asset's own shape. */
export function addAsset(board: Board, asset: Asset, place: { x: number; y: number }): string {
  const media = mediaOf(asset.content_type);
  const kind = media === "video" || media === "audio" ? media : "image";
  const { w } = SIZES[kind];
  const ratio = Math.min(RATIO_MAX, Math.max(RATIO_MIN, ratioOf(asset)));
  board.step();
  return board.addNode({
    kind,
    ...freeBelow(board.nodes, place, { w, h: kind === "audio" ? SIZES.audio.h : w / ratio }),
    w,
    h: kind === "audio" ? SIZES.audio.h : w / ratio,
    params: { asset: asset.id, name: asset.name, ...(asset.duration_ms ? { duration_ms: asset.duration_ms } : {}) },
  });
}
