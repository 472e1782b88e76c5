import { Lasting } from "./lasting";
import { offline, problemOf } from "./problem";

interface Options {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** What a person did is said to be done at once: so it has to arrive also where they leave the page in that moment. */
const lasting = new Lasting();

async function send(method: string, path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  let done: (() => void) | null = null;
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (method !== "GET" && !options.signal) done = lasting.take(typeof init.body === "string" ? init.body : "");
  if (done) init.keepalive = true;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw offline();
  } finally {
    done?.();
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function json<T>(response: Response): Promise<T> {
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** One call of the public API. Throws a ProblemError where the answer is not a success. */
export const api = {
  get: async <T>(path: string, signal?: AbortSignal): Promise<T> =>
    json<T>(await send("GET", path, signal ? { signal } : {})),
  post: async <T>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T> =>
    json<T>(await send("POST", path, { body: body ?? {}, ...(headers ? { headers } : {}) })),
  put: async <T>(path: string, body?: unknown): Promise<T> => json<T>(await send("PUT", path, { body: body ?? {} })),
  patch: async <T>(path: string, body: unknown): Promise<T> => json<T>(await send("PATCH", path, { body })),
  delete: async <T>(path: string, body?: unknown): Promise<T> =>
    json<T>(await send("DELETE", path, body === undefined ? {} : { body })),
};

export function query(parameters: Record<string, string | number | null | undefined>): string {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}` : "";
}
