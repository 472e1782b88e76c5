/** A workflow in ComfyUI's API format: nodes by id. */
export type Workflow = Record<string, { class_type: string; inputs?: Record<string, unknown> }>;

/** Reads an exported file; what ComfyUI's own editor saves is another format, and is said to be one. */
export function readWorkflow(text: string): Workflow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("This file is no JSON. In ComfyUI choose “Export (API)”.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error("This is no workflow. In ComfyUI choose “Export (API)”.");
  }
  if ("nodes" in value && "links" in value) {
    throw new Error("This is the editor’s own format. In ComfyUI choose “Export (API)” instead of “Export”.");
  }
  const nodes = Object.values(value);
  const isNode = (node: unknown) => typeof node === "object" && node !== null && "class_type" in node;
  if (nodes.length === 0 || !nodes.every(isNode)) {
    throw new Error("This is no workflow in API format: each of its parts must name a class_type.");
  }
  return value as Workflow;
}

/** "My Film Stock (v2).json" becomes "my-film-stock-v2". */
export function toolName(text: string): string {
  return text
    .replace(/\.json$/i, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 48);
}
