import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { useNavigate } from "react-router";
import { boardsQuery } from "../api/boards";
import { assetsQuery, runsQuery, toolsQuery } from "../api/queries";
import { myProfileQuery, postsQuery } from "../api/social";
import { humanise, shortId } from "../lib/format";
import type { Entry, EntryGroup } from "../lib/palette";
import { stateWord } from "../lib/phases";
import { takeLabel } from "../lib/schema";
import type { IconName } from "../ui";
import { CONSOLE, OPERATION, placesOf, WORK } from "./nav";
import { useSession, useSignOut, useSwitchOrganisation } from "./session";
import { setTheme, useTheme } from "./theme";

export interface PaletteEntry extends Entry {
  icon: IconName;
  label: ReactNode;
  keys?: string;
  run: () => void;
}
type Group = EntryGroup<PaletteEntry>;

const TYPED_MIN = 2;
const DEBOUNCE_MS = 200;

/** Everything that the palette finds, by kind. */
export function usePaletteGroups(typed: string, onHelp: () => void): Group[] {
  const navigate = useNavigate();
  const go = (to: string) => () => void navigate(to);
  return [
    usePlaces(go),
    useActions(go, onHelp),
    useTools(go),
    useBoards(go),
    useRuns(go),
    useAssets(go),
    usePosts(go, typed),
  ];
}

type Go = (to: string) => () => void;

function usePlaces(go: Go): Group {
  const me = useQuery(myProfileQuery).data;
  const places = placesOf([...WORK, ...CONSOLE, ...OPERATION], useSession()).map(({ to, label, icon, keys }) => ({
    id: to,
    name: label,
    label,
    icon,
    keys,
    run: go(to),
  }));
  return {
    heading: "Go to",
    entries: [
      ...places,
      entry("/notifications", "Notifications", "bell", go("/notifications"), { keys: "g i" }),
      entry("/me", "My profile", "person", go(me?.made ? `/people/${me.handle}` : "/profile")),
      entry("/account", "Account and sessions", "shield", go("/account"), { also: "password export my data delete" }),
    ],
  };
}

function useActions(go: Go, onHelp: () => void): Group {
  const { me, organisation, staff } = useSession();
  const signOut = useSignOut();
  const switchTo = useSwitchOrganisation();
  const dark = useTheme() === "dark";
  const others = me.organisations.filter((one) => one.id !== organisation.id);
  return {
    heading: "Do",
    entries: [
      entry("do-new", "Start with a new photograph", "upload", go("/studio?new=1"), { also: "upload" }),
      entry("do-publish", "Publish something", "publish", go("/library?publish=1"), { also: "community post share" }),
      entry("do-key", "Make an API key", "key", go("/keys?new=1"), { also: "create" }),
      entry("do-invite", "Invite somebody", "team", go("/team?invite=1"), { also: "member" }),
      entry("do-profile", "Edit my profile", "edit", go("/profile"), { also: "handle picture" }),
      ...(staff ? [entry("do-comfy", "Import a workflow from ComfyUI", "plus", go("/tools/import"))] : []),
      entry("do-theme", dark ? "Light theme" : "Dark theme", dark ? "sun" : "moon", () =>
        setTheme(dark ? "light" : "dark"),
      ),
      ...others.map((one) => entry(one.id, `Work in ${one.name}`, "team", () => void switchTo(one.id))),
      entry("do-keys", "Keyboard", "keyboard", onHelp, { keys: "?", also: "shortcuts" }),
      entry("do-out", "Sign out", "out", () => void signOut()),
    ],
  };
}

function useTools(go: Go): Group {
  const tools = useQuery(toolsQuery).data ?? [];
  return {
    heading: "Tools",
    entries: tools.map((tool) => {
      const name = tool.label || humanise(tool.name);
      return entry(`tool-${tool.name}`, name, "tools", go(`/tools/${tool.name}`), {
        also: `${tool.name} ${tool.category}`,
        label: (
          <>
            {name} <small>{tool.description}</small>
          </>
        ),
      });
    }),
  };
}

function useBoards(go: Go): Group {
  const boards = useInfiniteQuery({ ...boardsQuery, retry: false }).data?.pages.flatMap((page) => page.items) ?? [];
  return {
    heading: "Boards",
    entries: boards.map((board) =>
      entry(board.id, board.title, "board", go(`/boards/${board.id}`), { label: withId(board.title, board.id) }),
    ),
  };
}

function useRuns(go: Go): Group {
  const runs = useInfiniteQuery(runsQuery).data?.pages.flatMap((page) => page.items) ?? [];
  return {
    heading: "Runs",
    entries: runs.map((run) => {
      const name = [humanise(run.tool), takeLabel(run.input), stateWord(run.state)].filter(Boolean).join(" · ");
      return entry(run.id, name, "runs", go(`/runs/${run.id}`), { label: withId(name, run.id) });
    }),
  };
}

function useAssets(go: Go): Group {
  const assets = useInfiniteQuery(assetsQuery).data?.pages.flatMap((page) => page.items) ?? [];
  return {
    heading: "Pictures, clips and sounds",
    entries: assets.map((asset) =>
      entry(asset.id, asset.name, "image", go(`/library/${asset.id}`), { label: withId(asset.name, asset.id) }),
    ),
  };
}

/** What the server finds on the wall: by words that may stand in a text or a tag, so they are not filtered again. */
function usePosts(go: Go, typed: string): Group {
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(typed), DEBOUNCE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const enabled = asked.length >= TYPED_MIN;
  const found = useInfiniteQuery({ ...postsQuery({ q: asked }), enabled, retry: false }).data;
  const posts = enabled ? (found?.pages.flatMap((page) => page.items) ?? []) : [];
  return {
    heading: "Community",
    entries: posts.map((post) => ({
      ...entry(`post-${post.id}`, post.title, "community", go(`/community/${post.id}`), {
        label: (
          <>
            {post.title} <small>{post.author.name}</small>
          </>
        ),
      }),
      found: true,
    })),
  };
}

function entry(
  id: string,
  name: string,
  icon: IconName,
  run: () => void,
  more: { keys?: string; also?: string; label?: ReactNode } = {},
): PaletteEntry {
  const { label = name, ...rest } = more;
  return { id, name, label, icon, run, ...rest };
}

function withId(name: string, id: string): ReactNode {
  return (
    <>
      {name} <code>{shortId(id)}</code>
    </>
  );
}
