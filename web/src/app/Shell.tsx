import * as Menu from "@radix-ui/react-dropdown-menu";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link, NavLink, Outlet, ScrollRestoration, useLocation, useNavigate } from "react-router";
import { notificationsQuery, unreadOf } from "../api/notifications";
import { balanceQuery } from "../api/queries";
import { myProfileQuery } from "../api/social";
import { credits } from "../lib/format";
import { Bar, Dialog, Icon, Kbd, Tip, uiCss } from "../ui";
import { Bell } from "../pages/notifications/Bell";
import { CONSOLE, OPERATION, placesOf, WORK, type Place } from "./nav";
import { useSession, useSignOut, useSwitchOrganisation } from "./session";
import css from "./Shell.module.css";
import { keepTyped } from "../lib/early";
import { useShortcuts } from "./shortcuts";
import { setTheme, useTheme } from "./theme";

const loadPalette = () => import("./Palette");
const Palette = lazy(loadPalette);

/** Pages where the work fills the window: the rail steps back to its icons. */
const FULL_FRAME = /^\/boards\/[^/]+$/;

/** The frame of every signed-in page: the rail (tabs on a phone), the palette, the keys. */
export function Shell() {
  const session = useSession();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const places = placesOf([...WORK, ...CONSOLE, ...OPERATION], session);

  useShortcuts({
    "mod+k": () => {
      if (!palette) keepTyped();
      setPalette(!palette);
    },
    "?": () => setHelp(true),
    "g i": () => void navigate("/notifications"),
    ...Object.fromEntries(places.map((place) => [place.keys, () => void navigate(place.to)])),
  });
  useEffect(() => {
    // Fetched before it is asked for, so that the first keys after ⌘K are not lost.
    void loadPalette();
  }, []);
  const shown = useRef(pathname);
  useEffect(() => {
    // Where one arrives by a link of the app, the page is next; where the browser loaded it, the top is.
    if (shown.current !== pathname) document.getElementById("main")?.focus({ preventScroll: true });
    shown.current = pathname;
  }, [pathname]);

  return (
    <div className={css.shell} data-narrow={FULL_FRAME.test(pathname) || undefined}>
      <a className={css.skip} href="#main">
        Skip to the page
      </a>
      <aside className={css.rail} aria-label="Navigation">
        <div className={css.top}>
          <OrganisationMenu onHelp={() => setHelp(true)} />
          <Bell />
        </div>
        <button type="button" className={css.find} onClick={() => setPalette(true)} aria-label="Find or do anything">
          <Icon name="search" />
          <span className={css.wide}>Find or do</span>
          <span className={css.wide} style={{ marginLeft: "auto" }}>
            <Kbd>⌘K</Kbd>
          </span>
        </button>
        <nav>
          <RailGroup places={WORK} />
          <RailGroup name="Organisation" places={placesOf(CONSOLE, session)} />
          <RailGroup name={session.staff ? "Operation" : "Machines"} places={placesOf(OPERATION, session)} />
        </nav>
        <div className={css.foot}>
          <BalanceChip />
        </div>
      </aside>
      <main id="main" className={css.main} tabIndex={-1}>
        <Outlet />
      </main>
      <nav className={css.tabs} aria-label="Pages">
        {WORK.filter((place) => place.tab).map((place) => (
          <NavLink key={place.to} to={place.to} className={css.tab}>
            <Icon name={place.icon} size={20} />
            {place.label}
          </NavLink>
        ))}
        <TabBell />
        <button type="button" className={css.tab} onClick={() => setPalette(true)}>
          <Icon name="more" size={20} />
          More
        </button>
      </nav>
      <Suspense>{palette && <Palette onClose={() => setPalette(false)} onHelp={() => setHelp(true)} />}</Suspense>
      <KeysHelp open={help} onClose={() => setHelp(false)} places={places} />
      <ScrollRestoration />
    </div>
  );
}

/** On a phone the bell is a tab that opens the whole page. */
function TabBell() {
  const unread = unreadOf(useInfiniteQuery(notificationsQuery).data);
  return (
    <NavLink to="/notifications" className={css.tab} aria-label={unread > 0 ? `Notices, ${unread} unread` : "Notices"}>
      <span className={css.tabBell} data-unread={unread > 0 || undefined}>
        <Icon name="bell" size={20} />
      </span>
      Notices
    </NavLink>
  );
}

function RailGroup({ name, places }: { name?: string; places: readonly Place[] }) {
  return (
    <ul className={css.group}>
      {name && <li className={`${css.groupName} ${css.wide}`}>{name}</li>}
      {places.map((place) => (
        <li key={place.to}>
          <Tip text={place.label} keys={place.keys}>
            <NavLink to={place.to} className={css.item} aria-label={place.label}>
              <Icon name={place.icon} />
              <span className={css.wide}>{place.label}</span>
            </NavLink>
          </Tip>
        </li>
      ))}
    </ul>
  );
}

function OrganisationMenu({ onHelp }: { onHelp: () => void }) {
  const { me, organisation } = useSession();
  const signOut = useSignOut();
  const switchTo = useSwitchOrganisation();
  const theme = useTheme();
  const profile = useQuery(myProfileQuery).data;
  return (
    <Menu.Root>
      <Menu.Trigger className={css.org} aria-label={`${organisation.name}, account and organisation`}>
        <Mark />
        <span className={css.wide}>{organisation.name}</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className={uiCss.menu} align="start" sideOffset={4} collisionPadding={8}>
          <Menu.Label className={uiCss.menuLabel}>{me.user.email}</Menu.Label>
          {me.organisations.map((one) => (
            <Menu.Item key={one.id} className={uiCss.menuItem} onSelect={() => void switchTo(one.id)}>
              <Icon name={one.id === organisation.id ? "check" : "team"} />
              {one.name}
            </Menu.Item>
          ))}
          <Menu.Separator className={uiCss.menuLine} />
          <Menu.Item className={uiCss.menuItem} asChild>
            <Link to={profile?.made ? `/people/${profile.handle}` : "/profile"}>
              <Icon name="person" /> My profile
            </Link>
          </Menu.Item>
          <Menu.Item className={uiCss.menuItem} asChild>
            <Link to="/account">
              <Icon name="shield" /> Account and sessions
            </Link>
          </Menu.Item>
          <Menu.Item className={uiCss.menuItem} onSelect={() => setTheme(theme === "dark" ? "light" : "dark")}>
            <Icon name={theme === "dark" ? "sun" : "moon"} /> {theme === "dark" ? "Light" : "Dark"} theme
          </Menu.Item>
          <Menu.Item className={uiCss.menuItem} onSelect={onHelp}>
            <Icon name="keyboard" /> Keyboard
          </Menu.Item>
          <Menu.Item className={uiCss.menuItem} onSelect={() => void signOut()}>
            <Icon name="out" /> Sign out
          </Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

export function Mark() {
  return (
    <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" style={{ flex: "none" }}>
      <path
        d="M3.5 16.5v-13h6.5a3.4 3.4 0 0 1 1.4 6.5 3.4 3.4 0 0 1-1 6.5z"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinejoin="round"
      />
      <circle cx="16.3" cy="14.3" r="2.4" fill="var(--amber)" />
    </svg>
  );
}

function BalanceChip() {
  const { data } = useQuery(balanceQuery);
  if (!data) return null;
  return (
    <Link to="/billing" className={css.balance} aria-label={`${credits(data.available_micro)} credits available`}>
      <span>
        <b>{credits(data.available_micro)}</b> <span className={css.wide}>credits</span>
      </span>
      <span className={css.wide}>
        <Bar
          parts={[
            { value: data.available_micro, color: "var(--slate)" },
            { value: data.held_micro, color: "var(--amber)" },
            { value: data.spent_micro, color: "var(--line-strong)" },
          ]}
        />
      </span>
      <small className={css.wide}>
        {data.held_micro > 0
          ? `${credits(data.held_micro)} held by running work`
          : `${credits(data.spent_micro)} spent`}
      </small>
    </Link>
  );
}

function KeysHelp({ open, onClose, places }: { open: boolean; onClose: () => void; places: readonly Place[] }) {
  const rows: [string, string][] = [
    ["Find or do anything", "⌘K"],
    ...places.map((place): [string, string] => [place.label, place.keys]),
    ["Notifications", "g i"],
    ["Community: search", "/"],
    ["A post: like, remix, its remix tree", "s r t"],
    ["A film: play, a frame, 5 s, sound, whole screen", "k , ← m f"],
    ["Studio: choose a photograph", "u"],
    ["Studio: run", "⌘↵"],
    ["Studio: previous or next take", "← →"],
    ["Studio: compare with the take before", "c"],
    ["Studio: download", "d"],
    ["Board: add, a prompt", "a t"],
    ["Board: run what is stale", "⌘↵"],
    ["Board: undo, duplicate, group", "⌘Z ⌘D ⌘G"],
    ["Board: all in sight, full size, what is chosen", "1 0 2"],
    ["Board’s film: play, a second, captions", "k → c"],
    ["This list", "?"],
  ];
  return (
    <Dialog open={open} onClose={onClose} title="Keyboard">
      <dl className={css.keysList}>
        {rows.map(([what, keys]) => (
          <div key={what} style={{ display: "contents" }}>
            <dt>{what}</dt>
            <dd>
              {keys.split(" ").map((key) => (
                <Kbd key={key}>{key}</Kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
