import { useEffect, useRef } from "react";

export type BoardKeys = Record<string, (event: KeyboardEvent) => void>;

/** "mod+shift+z", "ArrowLeft", "shift+ArrowLeft": with shift said, which the pages' shortcuts have no need of. */
export function boardKey(event: Pick<KeyboardEvent, "key" | "metaKey" | "ctrlKey" | "shiftKey">): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const named = key === "Enter" ? "enter" : key;
  const shift = event.shiftKey && (event.key.length > 1 || event.metaKey || event.ctrlKey) ? "shift+" : "";
  return `${event.metaKey || event.ctrlKey ? "mod+" : ""}${shift}${named}`;
}

function busy(target: EventTarget | null, within: HTMLElement | null | undefined): boolean {
  const layer = [...document.querySelectorAll('[role="dialog"], [role="menu"]')].at(-1);
  if (layer && !(within && layer.contains(within))) return true;
  return target instanceof HTMLElement && Boolean(target.closest("input, textarea, select, [contenteditable], video"));
}

/** Keys of a board. While one types, or in a dialog, they belong to that; `within` says that the keys' owner is in it. */
export function useBoardKeys(bindings: BoardKeys, within?: React.RefObject<HTMLElement | null>): void {
  const current = useRef(bindings);
  current.current = bindings;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.altKey || busy(event.target, within?.current)) return;
      const act = current.current[boardKey(event)];
      if (!act) return;
      // A button under the focus keeps its own keys.
      const pressed = event.key === "Enter" || event.key === " ";
      if (pressed && !event.metaKey && !event.ctrlKey && (event.target as HTMLElement).closest("button, a")) return;
      event.preventDefault();
      act(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [within]);
}
