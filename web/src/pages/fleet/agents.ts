import { shortId } from "../../lib/format";

/** Machines of pools are called by an id: its end is enough to tell them apart. */
export function agentName(name: string): string {
  return /^m[0-9a-f]{32}$/.test(name) ? `Machine ${shortId(name)}` : name;
}
