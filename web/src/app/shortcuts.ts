import { useEffect, useRef } from "react";

/** A key as pressed ("u", "?", "mod+enter", "ArrowLeft") or a sequence of two ("g s"). */
export type Bindings = Record<string, () => void>;

const SEQUENCE_MS = 900;

export function keyName(event: Pick<KeyboardEvent, "key" | "metaKey" | "ctrlKey" | "altKey">): string {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return event.metaKey || event.ctrlKey ? `mod+${key.toLowerCase()}` : event.altKey ? `alt+${key}` : key;
}

function typesText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
  return target.tagName === "INPUT" && !/^(radio|checkbox|button|submit|file)$/.test((target as HTMLInputElement).type);
}

/** Binds keys while the component is mounted. Nothing fires while one types, or in an open dialog. */
export function useShortcuts(bindings: Bindings): void {
  const current = useRef(bindings);
  current.current = bindings;
  useEffect(() => {
    let first: { key: string; at: number } | null = null;
    const isOurs = (event: KeyboardEvent, key: string) =>
      !event.defaultPrevented &&
      (key.startsWith("mod+") || (!typesText(event.target) && !document.querySelector('[role="dialog"]')));
    // On the way down, before any single key: the "r" of "g r" must not also be the page's own "r".
    const onSequence = (event: KeyboardEvent) => {
      const key = keyName(event);
      if (!isOurs(event, key)) return;
      const act =
        first && event.timeStamp - first.at < SEQUENCE_MS ? current.current[`${first.key} ${key}`] : undefined;
      first = act ? null : { key, at: event.timeStamp };
      if (!act) return;
      event.preventDefault();
      act();
    };
    const onKey = (event: KeyboardEvent) => {
      const key = keyName(event);
      const act = isOurs(event, key) ? current.current[key] : undefined;
      if (!act) return;
      // A space on what it would press belongs to that.
      if (key === " " && event.target instanceof HTMLElement && event.target.closest("button, a, summary, input"))
        return;
      // An arrow on a focused control belongs to that control.
      if (key.startsWith("Arrow") && event.target instanceof HTMLInputElement) return;
      event.preventDefault();
      first = null;
      act();
    };
    addEventListener("keydown", onSequence, { capture: true });
    addEventListener("keydown", onKey);
    return () => {
      removeEventListener("keydown", onSequence, { capture: true });
      removeEventListener("keydown", onKey);
    };
  }, []);
}
