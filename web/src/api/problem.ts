/** A problem document (RFC 9457) as the server answers it, or what we say where no server answered. */
export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: { pointer: string; message: string }[];
  [extra: string]: unknown;
}

export class ProblemError extends Error {
  readonly problem: ProblemDocument;
  constructor(problem: ProblemDocument) {
    super(problem.detail || problem.title);
    this.name = "ProblemError";
    this.problem = problem;
  }
  get code(): string {
    return this.problem.code;
  }
}

export const OFFLINE_CODE = "no_answer";

export function offline(): ProblemError {
  return new ProblemError({
    type: "",
    title: "The server did not answer",
    status: 0,
    detail: "Nothing was sent or changed. Check that Backlot is running, then try again.",
    code: OFFLINE_CODE,
  });
}

/** What a response that is not a success says; also where its body is not a problem document. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const text = await response.text().catch(() => "");
  return parseProblem(response.status, text);
}

export function parseProblem(status: number, text: string): ProblemError {
  try {
    const body = JSON.parse(text) as Partial<ProblemDocument>;
    if (typeof body === "object" && body !== null && typeof body.code === "string") {
      return new ProblemError({
        ...body,
        type: body.type ?? "",
        title: body.title ?? "Something is wrong",
        detail: body.detail ?? "",
        status: body.status ?? status,
        code: body.code,
      });
    }
  } catch {
    // Not JSON: said below.
  }
  return new ProblemError({
    type: "",
    title: `The server answered ${status}`,
    status,
    detail: text.slice(0, 300),
    code: `http_${status}`,
  });
}

export function toProblem(error: unknown): ProblemDocument {
  if (error instanceof ProblemError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return { type: "", title: "Something went wrong in this page", status: 0, detail, code: "web_error" };
}
