import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { keys } from "../../api/queries";
import type { Asset } from "../../api/types";
import { upload, UploadCanceled, uploadToBoard, type BoardFile, type UploadHandle } from "../../api/upload";
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

/**
 * Uploads files and puts a node for each on the board, where the person let them go. Who is of another organisation brings
 * them through the board: they are its organisation's then.
 */
export function useBring(
  boardId: string,
  board: Board,
  projectId: string | null,
  select: (ids: readonly string[]) => void,
  isHome: boolean,
) {
  const client = useQueryClient();
  const { say, sayProblem } = useToasts();
  const [arriving, setArriving] = useState<Arriving[]>([]);
  const handles = useRef(new Set<UploadHandle<unknown>>());
  const next = useRef(1);
  useEffect(() => {
    const open = handles.current;
    return () => open.forEach((handle) => handle.cancel());
  }, []);

  const bring = useCallback(
    (files: readonly File[], at: { x: number; y: number }) => {
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
        const progress = (fraction: number) =>
          setArriving((all) => all.map((one) => (one.id === id ? { ...one, fraction } : one)));
        const handle = isHome
          ? brought(upload(file, projectId, progress), fromLibrary)
          : brought(uploadToBoard(file, boardId, progress), fromBoard);
        handles.current.add(handle);
        setArriving((all) => [
          ...all,
          { id, name: file.name, ...place, localUrl, fraction: 0, cancel: () => handle.cancel() },
        ]);
        handle.done.then(
          ({ asset, shown }) => {
            gone();
            if (asset) {
              client.setQueryData(keys.asset(asset.id), asset);
              void client.invalidateQueries({ queryKey: keys.assets });
            }
            select([addAsset(board, shown, place)]);
          },
          (error: unknown) => {
            gone();
            if (!(error instanceof UploadCanceled)) sayProblem(error);
          },
        );
      });
    },
    [boardId, board, projectId, isHome, client, say, sayProblem, select],
  );
  return { bring, arriving };
}

/** What a node needs to know of a file. */
type Shown = Pick<Asset, "id" | "name" | "content_type" | "width" | "height" | "duration_ms">;
interface Brought {
  /** In the library of who brought it, where it is theirs. */
  asset: Asset | null;
  shown: Shown;
}

const brought = <T>(handle: UploadHandle<T>, read: (file: T) => Brought): UploadHandle<Brought> => ({
  cancel: handle.cancel,
  done: handle.done.then(read),
});
const fromLibrary = (asset: Asset): Brought => ({ asset, shown: asset });
const fromBoard = ({ asset_id, ...file }: BoardFile): Brought => ({ asset: null, shown: { id: asset_id, ...file } });

const RATIO_MIN = 0.5;
const RATIO_MAX = 2.4;

/** A node of an asset, at the asset's own shape. */
export function addAsset(board: Board, asset: Shown, place: { x: number; y: number }): string {
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
