import { api } from "./http";
import { offline, parseProblem, ProblemError } from "./problem";
import type { components } from "./schema";
import type { Asset, NewAsset, Sent, Upload } from "./types";

/** A file of a board, as also those know it who have no library with it. */
export type BoardFile = Sent<components["schemas"]["BoardMediaView"]>;
type NewBoardFile = Sent<components["schemas"]["BoardUploadView"]> & { upload: Upload };

export interface UploadHandle<T = Asset> {
  /** Stops the transfer and removes the half-written asset. */
  cancel: () => void;
  done: Promise<T>;
}

export class UploadCanceled extends Error {
  constructor() {
    super("upload canceled");
    this.name = "UploadCanceled";
  }
}

const described = (file: File) => ({
  name: file.name,
  content_type: file.type || "application/octet-stream",
  size_bytes: file.size,
});

/** Into one's own library. `onProgress` hears a fraction of bytes sent, 0 to 1. */
export function upload(
  file: File,
  projectId: string | null,
  onProgress: (fraction: number) => void,
): UploadHandle<Asset> {
  return send(file, onProgress, {
    begin: async () => {
      const body = { ...described(file), ...(projectId ? { project_id: projectId } : {}) };
      const { asset, upload: target } = await api.post<NewAsset>("/v1/assets", body);
      return { id: asset.id, target };
    },
    complete: (id) => api.post<Asset>(`/v1/assets/${id}/complete`),
    forget: (id) => api.delete(`/v1/assets/${id}`),
  });
}

/** To a board of another organisation, whose file it then is. */
export function uploadToBoard(
  file: File,
  board: string,
  onProgress: (fraction: number) => void,
): UploadHandle<BoardFile> {
  return send(file, onProgress, {
    begin: async () => {
      const { asset_id, upload: target } = await api.post<NewBoardFile>(`/v1/boards/${board}/media`, described(file));
      return { id: asset_id, target };
    },
    complete: (id) => api.post<BoardFile>(`/v1/boards/${board}/media/${id}/complete`),
    forget: (id) => api.delete(`/v1/boards/${board}/media/${id}`),
  });
}

interface Door<T> {
  begin: () => Promise<{ id: string; target: Upload }>;
  complete: (id: string) => Promise<T>;
  /** Takes back what was begun: its room is free again. */
  forget: (id: string) => Promise<unknown>;
}

/** Sends the bytes straight to the store. */
function send<T>(file: File, onProgress: (fraction: number) => void, door: Door<T>): UploadHandle<T> {
  let canceled = false;
  let request: XMLHttpRequest | null = null;
  let begun: string | null = null;

  const run = async (): Promise<T> => {
    const { id, target } = await door.begin();
    begun = id;
    if (canceled) throw new UploadCanceled();
    request = new XMLHttpRequest();
    await put(request, target, file, onProgress);
    if (canceled) throw new UploadCanceled();
    return door.complete(id);
  };

  const done = run().catch(async (error: unknown) => {
    if (!canceled) throw error;
    if (begun) await door.forget(begun).catch(() => undefined);
    throw new UploadCanceled();
  });

  return {
    cancel: () => {
      canceled = true;
      request?.abort();
    },
    done,
  };
}

const OWN_STORE = "/v1/objects/";

/** Backlot's own folder store answers wherever the studio does, under whatever name this page was opened. */
export function throughThisPage(address: string): string {
  const url = new URL(address, "http://relative.invalid");
  return url.pathname.startsWith(OWN_STORE) ? url.pathname + url.search : address;
}

function put(
  request: XMLHttpRequest,
  target: Upload,
  file: File,
  onProgress: (fraction: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    request.open(target.method, throughThisPage(target.url));
    for (const [name, value] of Object.entries(target.headers ?? {})) {
      // The browser sets these itself and refuses to be told.
      if (!/^(host|content-length)$/i.test(name)) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else reject(storeProblem(request.status, request.responseText));
    };
    request.onerror = () => reject(offline());
    request.onabort = () => reject(new UploadCanceled());
    request.send(file);
  });
}

/** A store that speaks S3 answers XML: only its status is worth showing. */
function storeProblem(status: number, text: string): ProblemError {
  return parseProblem(status, text.trimStart().startsWith("<") ? "" : text);
}
