import { Command } from "cmdk";
import { useEffect, useState } from "react";
import { takeTyped } from "../lib/early";
import { found } from "../lib/palette";
import { Icon, Kbd } from "../ui";
import css from "./Palette.module.css";
import { usePaletteGroups } from "./paletteEntries";

/** ⌘K: every page, tool, board and action, the latest runs and pictures, the community; by name or by id. */
export default function Palette({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const [typed, setTyped] = useState("");
  useEffect(() => () => void takeTyped(), []);
  const groups = found(usePaletteGroups(typed.trim(), onHelp), typed);
  return (
    <Command.Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      label="Find or do anything"
      overlayClassName={css.overlay ?? ""}
      contentClassName={css.palette ?? ""}
      shouldFilter={false}
      loop
    >
      <Command.Input
        placeholder="A page, a tool, a board, a run, a picture, something to do"
        className={css.input}
        value={typed}
        onFocus={() => {
          // Taken once, here: a state's update may be computed more than once, and the second time nothing waits.
          const early = takeTyped();
          setTyped((text) => text + early);
        }}
        onValueChange={setTyped}
      />
      <Command.List className={css.list} label="Results">
        <Command.Empty className={css.none}>
          Nothing has that name. Pages, tools, boards, runs, pictures, the community and actions are found here.
        </Command.Empty>
        {groups.map(({ heading, entries }) => (
          <Command.Group key={heading} heading={heading}>
            {entries.map((entry) => (
              <Command.Item
                key={entry.id}
                className={css.item}
                value={entry.id}
                onSelect={() => {
                  onClose();
                  entry.run();
                }}
              >
                <Icon name={entry.icon} />
                <span className={css.text}>{entry.label}</span>
                {entry.keys?.split(" ").map((key) => (
                  <Kbd key={key}>{key}</Kbd>
                ))}
              </Command.Item>
            ))}
          </Command.Group>
        ))}
      </Command.List>
    </Command.Dialog>
  );
}
