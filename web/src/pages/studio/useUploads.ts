import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { keys } from "../../api/queries";
import type { Asset } from "../../api/types";
import { upload, UploadCanceled, type UploadHandle } from "../../api/upload";

/** The file that is being sent now. `fraction` is of bytes sent; at 1 the server still looks at it. */
export interface Sending {
  name: string;
  size_bytes: number;
  localUrl: string;
  fraction: number;
  error: unknown;
  cancel: () => void;
  retry: () => void;
}

export function useUploads(projectId: string | null, onReady: (asset: Asset) => void) {
  const client = useQueryClient();
  const [sending, setSending] = useState<Sending | null>(null);
  const handle = useRef<UploadHandle | null>(null);
  const ready = useRef(onReady);
  ready.current = onReady;

  const clear = useCallback(() => {
    setSending((old) => {
      if (old) URL.revokeObjectURL(old.localUrl);
      return null;
    });
  }, []);

  const send = useCallback(
    (file: File) => {
      handle.current?.cancel();
      const current = upload(file, projectId, (fraction) =>
        setSending((old) => (old && handle.current === current ? { ...old, fraction } : old)),
      );
      handle.current = current;
      setSending({
        name: file.name,
        size_bytes: file.size,
        localUrl: URL.createObjectURL(file),
        fraction: 0,
        error: null,
        cancel: () => {
          current.cancel();
          if (handle.current === current) handle.current = null;
          clear();
        },
        retry: () => send(file),
      });
      current.done.then(
        (asset) => {
          if (handle.current !== current) return;
          handle.current = null;
          client.setQueryData(keys.asset(asset.id), asset);
          void client.invalidateQueries({ queryKey: keys.assets });
          ready.current(asset);
          clear();
        },
        (error: unknown) => {
          if (error instanceof UploadCanceled || handle.current !== current) return;
          setSending((old) => (old ? { ...old, error } : old));
        },
      );
    },
    [projectId, client, clear],
  );

  useEffect(() => () => handle.current?.cancel(), []);
  return { sending, send, clear };
}
