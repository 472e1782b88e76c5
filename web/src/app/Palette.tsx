import { useInfiniteQuery } from "@tanstack/react-query";
import { Command } from "cmdk";
import { useNavigate } from "react-router";
import { assetsQuery, runsQuery } from "../api/queries";
import { humanise, shortId } from "../lib/format";
import { stateWord } from "../lib/phases";
import { takeLabel } from "../lib/schema";
import { Icon, Kbd, type IconName } from "../ui";
import { CONSOLE, OPERATION, WORK } from "./nav";
import css from "./Palette.module.css";
import { useSession, useSignOut } from "./session";
import { setTheme, useTheme } from "./theme";

const LISTED_MAX = 30;

/** ⌘K: every page and action, the latest runs and pictures, by name or by id. */
export default function Palette({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const { staff } = useSession();
  const navigate = useNavigate();
  const signOut = useSignOut();
  const theme = useTheme();
  const runs = useInfiniteQuery(runsQuery).data?.pages.flatMap((page) => page.items) ?? [];
  const assets = useInfiniteQuery(assetsQuery).data?.pages.flatMap((page) => page.items) ?? [];
  const go = (to: string) => () => {
    onClose();
    void navigate(to);
  };
  const act = (action: () => void) => () => {
    onClose();
    action();
  };
  return (
    <Command.Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      label="Find or do anything"
      overlayClassName={css.overlay ?? ""}
      contentClassName={css.palette ?? ""}
      filter={matches}
      loop
    >
      <Command.Input placeholder="Go to a page, find a run or a picture, do something" className={css.input} />
      <Command.List className={css.list} label="Results">
        <Command.Empty className={css.none}>
          Nothing has that name. Pages, runs, pictures and actions are found here.
        </Command.Empty>
        <Command.Group heading="Go to">
          {[...WORK, ...CONSOLE, ...OPERATION.filter((place) => staff || !place.staff)].map((place) => (
            <Item key={place.to} icon={place.icon} keys={place.keys} onSelect={go(place.to)} value={place.label}>
              {place.label}
            </Item>
          ))}
        </Command.Group>
        <Command.Group heading="Do">
          <Item icon="upload" onSelect={go("/studio?new=1")} value="New photograph upload">
            Start with a new photograph
          </Item>
          <Item icon="key" onSelect={go("/keys?new=1")} value="Create API key">
            Make an API key
          </Item>
          <Item icon="team" onSelect={go("/team?invite=1")} value="Invite somebody member">
            Invite somebody
          </Item>
          <Item
            icon={theme === "dark" ? "sun" : "moon"}
            onSelect={act(() => setTheme(theme === "dark" ? "light" : "dark"))}
            value="Theme dark light"
          >
            {theme === "dark" ? "Light" : "Dark"} theme
          </Item>
          <Item icon="keyboard" keys="?" onSelect={act(onHelp)} value="Keyboard shortcuts">
            Keyboard
          </Item>
          <Item icon="out" onSelect={act(() => void signOut())} value="Sign out">
            Sign out
          </Item>
        </Command.Group>
        {runs.length > 0 && (
          <Command.Group heading="Runs">
            {runs.slice(0, LISTED_MAX).map((run) => (
              <Item key={run.id} icon="runs" onSelect={go(`/runs/${run.id}`)} value={`${run.tool} ${run.id}`}>
                {humanise(run.tool)} · {takeLabel(run.input)} · {stateWord(run.state)} <code>{shortId(run.id)}</code>
              </Item>
            ))}
          </Command.Group>
        )}
        {assets.length > 0 && (
          <Command.Group heading="Pictures and clips">
            {assets.slice(0, LISTED_MAX).map((asset) => (
              <Item
                key={asset.id}
                icon="image"
                onSelect={go(`/library/${asset.id}`)}
                value={`${asset.name} ${asset.id}`}
              >
                {asset.name} <code>{shortId(asset.id)}</code>
              </Item>
            ))}
          </Command.Group>
        )}
      </Command.List>
    </Command.Dialog>
  );
}

/** Every typed word must be in the name or the id; a name that begins with it comes first. */
function matches(value: string, search: string): number {
  const name = value.toLowerCase();
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.every((word) => name.includes(word))) return 0;
  return name.startsWith(words[0] ?? "") ? 1 : 0.5;
}

function Item({
  icon,
  keys,
  value,
  onSelect,
  children,
}: {
  icon: IconName;
  keys?: string;
  value: string;
  onSelect: () => void;
  children: React.ReactNode;
}) {
  return (
    <Command.Item className={css.item} value={value} onSelect={onSelect}>
      <Icon name={icon} />
      <span className={css.text}>{children}</span>
      {keys?.split(" ").map((key) => (
        <Kbd key={key}>{key}</Kbd>
      ))}
    </Command.Item>
  );
}
