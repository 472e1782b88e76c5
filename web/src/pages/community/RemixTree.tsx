import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { Link } from "react-router";
import { lineageQuery, type Lineage, type Post } from "../../api/social";
import { treeOf, type Placed } from "../../lib/tree";
import { plural } from "../../lib/format";
import { useWidth } from "../../lib/useSize";
import { Dialog, Loaded } from "../../ui";
import css from "./RemixTree.module.css";

const NODE_W_PX = 216;
const NODE_H_PX = 64;
const GAP_X_PX = 48;
const GAP_Y_PX = 16;

/** Who made what out of what: the whole family of a post, from the first of it. */
export function RemixTreeDialog({ post, onClose }: { post: Post; onClose: () => void }) {
  const lineage = useQuery(lineageQuery(post.id));
  return (
    <Dialog open onClose={onClose} title="Remix tree" wide text={sentence(lineage.data, post)}>
      <Loaded of={lineage} waiting="Following the remixes…">
        {(data) => <Tree lineage={data} here={post.id} onLeave={onClose} />}
      </Loaded>
    </Dialog>
  );
}

function sentence(lineage: Lineage | undefined, post: Post): string {
  if (!lineage) return "Each line goes from a post to what was made of it.";
  const others = lineage.nodes.length - 1;
  if (others <= 0) return `Nobody has remixed “${post.title}” yet, and it is not a remix itself.`;
  const family = `${plural(others, "other post belongs", "other posts belong")} to this family`;
  const all = lineage.truncated ? `${family}; more are too far away to be shown` : family;
  return `${all}. Each line goes from a post to what was made of it.`;
}

function Tree({ lineage, here, onLeave }: { lineage: Lineage; here: string; onLeave: () => void }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const placed = treeOf(lineage);
  const depth = Math.max(0, ...placed.map((one) => one.depth));
  const rows = Math.max(0, ...placed.map((one) => one.row)) + 1;
  // On a narrow screen the generations are indented instead of standing side by side.
  const narrow = width > 0 && width < (depth + 1) * NODE_W_PX;
  const at = (one: Placed, index: number) =>
    narrow
      ? { left: Math.min(one.depth, 6) * 20, top: index * (NODE_H_PX + 8) }
      : { left: one.depth * (NODE_W_PX + GAP_X_PX), top: one.row * (NODE_H_PX + GAP_Y_PX) };
  const size = narrow
    ? { width: "100%", height: placed.length * (NODE_H_PX + 8) }
    : { width: (depth + 1) * (NODE_W_PX + GAP_X_PX) - GAP_X_PX, height: rows * (NODE_H_PX + GAP_Y_PX) };
  const places = new Map(placed.map((one, index) => [one.node.id, at(one, index)]));
  return (
    <div ref={frame} className={css.frame} tabIndex={0} role="region" aria-label="The tree">
      <div className={css.tree} style={size}>
        <svg className={css.lines} aria-hidden="true" width="100%" height="100%">
          {lineage.edges.map(({ from, to }) => {
            const a = places.get(from);
            const b = places.get(to);
            return a && b && <path key={`${from} ${to}`} d={narrow ? elbow(a, b) : curve(a, b)} />;
          })}
        </svg>
        <ul>
          {placed.map((one, index) => (
            <li key={one.node.id} style={{ ...at(one, index), width: narrow ? "auto" : NODE_W_PX, height: NODE_H_PX }}>
              <Link
                to={`/community/${one.node.id}`}
                onClick={onLeave}
                aria-current={one.node.id === here ? "page" : undefined}
                aria-label={`${one.node.title} by ${one.node.author.name}, ${generation(one, lineage)}`}
              >
                {one.node.preview_url ? <img src={one.node.preview_url} alt="" /> : <i />}
                <span>
                  <b>{one.node.removed ? "Taken down" : one.node.title}</b>
                  <small>{one.node.author.name}</small>
                </span>
              </Link>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

/** The same in words, for whoever does not see the lines. */
function generation(one: Placed, lineage: Lineage): string {
  const parent = lineage.edges.find((edge) => edge.to === one.node.id)?.from;
  const of = lineage.nodes.find((node) => node.id === parent);
  return of ? `made of ${of.title}` : "the first of them";
}

interface Place {
  left: number;
  top: number;
}
function curve(a: Place, b: Place): string {
  const [x1, y1] = [a.left + NODE_W_PX, a.top + NODE_H_PX / 2];
  const [x2, y2] = [b.left, b.top + NODE_H_PX / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}
function elbow(a: Place, b: Place): string {
  return `M${a.left + 10} ${a.top + NODE_H_PX}V${b.top + NODE_H_PX / 2}H${b.left}`;
}
