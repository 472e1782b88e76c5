// Line icons of one weight on a 20-unit grid, drawn for this app.
const PATHS = {
  studio: "M3 5.5h14v9H3zM3 8h2.5M3 12h2.5M14.5 8H17M14.5 12H17M8.2 8l4 2-4 2z",
  library: "M3 4h6v7H3zM11 4h6v4h-6zM11 10h6v6h-6zM3 13h6v3H3z",
  runs: "M3 5h9M3 10h14M3 15h6M14.5 5h2.5M11.5 15h5.5",
  team: "M7 9.5a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5zM2.5 16c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4M13 9a2.25 2.25 0 1 0-.8-4.3M14 12c2 .2 3.5 1.6 3.5 3.7",
  key: "M7 13.5a3.5 3.5 0 1 1 3.3-4.6H17v3h-2v2h-2.5v-2h-2.2A3.5 3.5 0 0 1 7 13.5zM6.5 10h.01",
  billing: "M3 5h14v10H3zM3 8.5h14M6 12h3",
  numbers: "M3 16.5h14M4.5 13l3.5-4 3 2.5 4.5-6.5",
  fleet: "M3 4h14v5H3zM3 11h14v5H3zM6 6.5h.01M6 13.5h.01M9 6.5h5M9 13.5h5",
  search: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM13 13l4 4",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.5l4 4 8-9",
  warn: "M10 3l7.5 13.5h-15zM10 8v4M10 14.3v.01",
  stop: "M5.5 5.5h9v9h-9z",
  download: "M10 3v9.5M6 9l4 4 4-4M4 16.5h12",
  upload: "M10 14V4M6 7.5l4-4 4 4M4 16.5h12",
  copy: "M7 7h9v9H7zM4 13V4h9",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
  compare: "M10 3v14M3.5 5.5H8v9H3.5zM12 5.5h4.5v9H12z",
  play: "M6 4l10 6-10 6z",
  pause: "M6 4h2.5v12H6zM11.5 4H14v12h-2.5z",
  sound: "M3 8h3l4-3.5v11L6 12H3zM13 7.5a3.5 3.5 0 0 1 0 5M15 5a7 7 0 0 1 0 10",
  mute: "M3 8h3l4-3.5v11L6 12H3zM13 8l4 4M17 8l-4 4",
  fill: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  heart:
    "M10 16.5S3 12.3 3 7.6A3.6 3.6 0 0 1 6.6 4C8.3 4 9.4 5 10 6c.6-1 1.7-2 3.4-2A3.6 3.6 0 0 1 17 7.6c0 4.7-7 8.9-7 8.9z",
  comment: "M3 4h14v10h-7l-4 3v-3H3z",
  remix:
    "M5 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM5 17a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM15 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM5 7v6M5 11c0-2 2-2.5 5-2.5S15 8 15 8",
  community: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM12.8 7.2l-1.6 4-4 1.6 1.6-4z",
  bell: "M5 13.5V9a5 5 0 0 1 10 0v4.5l1.5 1.5h-13zM8.5 17.5h3",
  person: "M10 10a3.25 3.25 0 1 0 0-6.5A3.25 3.25 0 0 0 10 10zM4 17c0-3 2.7-5 6-5s6 2 6 5",
  flag: "M5 17V3.5M5 4h9l-2 3.5L14 11H5",
  shield: "M10 3l6 2v5c0 3.5-2.5 6-6 7.5-3.5-1.5-6-4-6-7.5V5z",
  tag: "M3 3.5h6.5L17 11l-6 6-8-7.5zM6.5 7h.01",
  tools: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM13.5 11v5M11 13.5h5",
  link: "M8.5 11.5l3-3M9 6.5l2-2a3.2 3.2 0 0 1 4.5 4.5l-2 2M11 13.5l-2 2A3.2 3.2 0 0 1 4.5 11l2-2",
  edit: "M4 16l.7-3.3L13.5 4l2.5 2.5-8.7 8.8z",
  publish: "M10 13V3.5M6.5 7L10 3.5 13.5 7M4 11v5.5h12V11",
  eye: "M2.5 10S5 5 10 5s7.5 5 7.5 5-2.5 5-7.5 5-7.5-5-7.5-5zM10 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  eyeOff:
    "M3 3l14 14M8 5.3A8 8 0 0 1 10 5c5 0 7.5 5 7.5 5a13 13 0 0 1-2.2 2.8M5 6.5A12.6 12.6 0 0 0 2.5 10s2.5 5 7.5 5c1 0 2-.2 2.8-.5",
  moon: "M16 11.5A6.5 6.5 0 1 1 8.5 4a5.2 5.2 0 0 0 7.5 7.5z",
  sun: "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 2v2M10 16v2M2 10h2M16 10h2M4.3 4.3l1.4 1.4M14.3 14.3l1.4 1.4M4.3 15.7l1.4-1.4M14.3 5.7l1.4-1.4",
  more: "M3.8 10a.9.9 0 1 0 1.8 0 .9.9 0 0 0-1.8 0zM9.1 10a.9.9 0 1 0 1.8 0 .9.9 0 0 0-1.8 0zM14.4 10a.9.9 0 1 0 1.8 0 .9.9 0 0 0-1.8 0z",
  out: "M8 4H4v12h4M8 10h9M13.5 6.5L17 10l-3.5 3.5",
  chevron: "M7 5l5 5-5 5",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4l2.5 2",
  keyboard: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M6.5 11.5h7",
  ledger: "M4 3.5h12v13H4zM7 7h6M7 10h6M7 13h3",
  board: "M3 4h6v5H3zM11 11h6v5h-6zM9 6.5h3.5a1.5 1.5 0 0 1 1.5 1.5v3",
  prompt: "M4 5.5h12M10 5.5V15M7.5 15h5",
  note: "M4 4h12v8l-4 4H4zM16 12h-4v4",
  group: "M3 7V4h3M14 4h3v3M17 13v3h-3M6 16H3v-3M7 7.5h6v5H7z",
  shot: "M3 7.5h14V16H3zM3 7.5l1.5-3.5 12.5.01M7.5 4 6 7.5M12 4l-1.5 3.5",
  film: "M3 4h14v12H3zM6.5 4v12M13.5 4v12M3 8h3.5M3 12h3.5M13.5 8H17M13.5 12H17",
  wave: "M3 8.5v3M6.5 6v8M10 3.5v13M13.5 7v6M17 8.5v3",
  undo: "M7.5 4 4 7.5 7.5 11M4 7.5h7.5a4.25 4.25 0 0 1 0 8.5H8",
  redo: "M12.5 4 16 7.5 12.5 11M16 7.5H8.5a4.25 4.25 0 0 0 0 8.5H12",
  fit: "M3 7.5V3.5h4M13 3.5h4v4M17 12.5v4h-4M7 16.5H3v-4",
  share: "M10 12.5V3.5M6.5 6.5 10 3l3.5 3.5M4.5 10v6.5h11V10",
  storyboard: "M3 4.5h6v4.5H3zM11 4.5h6v4.5h-6zM3 11h6v4.5H3zM11 11h6v4.5h-6z",
  timeline: "M3 5h8v3.5H3zM12.5 5H17v3.5h-4.5zM3 11.5h5V15H3zM9.5 11.5H17V15H9.5z",
  image: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 8h.01",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      style={{ flex: "none" }}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
