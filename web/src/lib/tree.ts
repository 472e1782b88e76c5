import type { Lineage, LineageNode } from "../api/social";

/** A post of a family with its place: `depth` counts generations, `row` is where its line stands. */
export interface Placed {
  node: LineageNode;
  depth: number;
  row: number;
}

/**
 * Places a family of posts, parents before their children. A parent stands in the row of its first child; whatever
 * hangs on nothing that is there begins a line of its own. A cycle, which the server does not make, ends the walk.
 */
export function treeOf({ nodes, edges }: Lineage): Placed[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const children = new Map<string, string[]>();
  const hasParent = new Set<string>();
  for (const { from, to } of edges) {
    if (!byId.has(from) || !byId.has(to) || from === to) continue;
    children.set(from, [...(children.get(from) ?? []), to]);
    hasParent.add(to);
  }
  const placed: Placed[] = [];
  const seen = new Set<string>();
  let row = 0;
  const walk = (id: string, depth: number) => {
    const node = byId.get(id);
    if (!node || seen.has(id)) return;
    seen.add(id);
    placed.push({ node, depth, row });
    const fresh = (children.get(id) ?? []).filter((child) => !seen.has(child));
    fresh.forEach((child, index) => {
      if (index > 0) row += 1;
      walk(child, depth + 1);
    });
  };
  for (const node of nodes) {
    if (hasParent.has(node.id) || seen.has(node.id)) continue;
    walk(node.id, 0);
    row += 1;
  }
  for (const node of nodes) {
    if (seen.has(node.id)) continue;
    walk(node.id, 0);
    row += 1;
  }
  return placed;
}
