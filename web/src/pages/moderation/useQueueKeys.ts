import { useEffect, useRef, useState } from "react";
import { useShortcuts } from "../../app/shortcuts";

/** Which of a list is chosen, moved by j and k; `acts` are keys that act on it. */
export function useQueueKeys<T extends { id: string }>(items: T[], acts: Record<string, (item: T) => void>) {
  const [chosen, setChosen] = useState<string | null>(null);
  const list = useRef<HTMLOListElement>(null);
  const at = Math.max(
    0,
    items.findIndex((item) => item.id === chosen),
  );
  const current = items[at] ?? null;
  const move = (by: number) => {
    const next = items[at + by];
    if (next) setChosen(next.id);
  };
  useEffect(() => {
    list.current?.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  useShortcuts({
    j: () => move(1),
    k: () => move(-1),
    ...Object.fromEntries(Object.entries(acts).map(([key, act]) => [key, () => current && act(current)])),
  });
  return { list, current, choose: setChosen };
}
