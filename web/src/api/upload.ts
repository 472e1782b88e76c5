import { api } from "./http";
import { offline, parseProblem, ProblemError } from "./problem";
import type { Asset, NewAsset, Upload } from "./types";

export interface UploadHandle {
  /** Stops the transfer and removes the half-written asset. */
  cancel: () => void;
  done: Promise<Asset>;
}

export class UploadCanceled extends Error {
  constructor() {
    super("upload canceled");
    this.name = "UploadCanceled";
  }
}

/** Sends the bytes straight to the store. `onProgress` hears a fraction of bytes sent, 0 to 1. */
export function upload(file: File, projectId: string | null, onProgress: (fraction: number) => void): UploadHandle {
  let canceled = false;
  let request: XMLHttpRequest | null = null;
  let assetId: string | null = null;

  const run = async (): Promise<Asset> => {
    const created = await api.post<NewAsset>("/v1/assets", {
      name: file.name,
      content_type: file.type || "application/octet-stream",
      size_bytes: file.size,
      ...(projectId ? { project_id: projectId } : {}),
    });
    assetId = created.asset.id;
    if (canceled) throw new UploadCanceled();
    request = new XMLHttpRequest();
    await put(request, created.upload, file, onProgress);
    if (canceled) throw new UploadCanceled();
    return api.post<Asset>(`/v1/assets/${assetId}/complete`);
  };

  const done = run().catch(async (error: unknown) => {
    if (!canceled) throw error;
    if (assetId) await api.delete(`/v1/assets/${assetId}`).catch(() => undefined);
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
