/** What is typed between asking for a field and its being there. Whoever knows their way types on at once. */
let waiting: { text: string; stop: () => void } | null = null;

/** Keeps what is typed from now on, until somebody takes it. */
export function keepTyped(target: Pick<Window, "addEventListener" | "removeEventListener"> = window): void {
  takeTyped();
  const kept = {
    text: "",
    stop: () => target.removeEventListener("keydown", keep as EventListener, { capture: true }),
  };
  const keep = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Backspace") kept.text = kept.text.slice(0, -1);
    else if ([...event.key].length === 1) kept.text += event.key;
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  target.addEventListener("keydown", keep as EventListener, { capture: true });
  waiting = kept;
}

/** What was typed meanwhile. From now on keys go where they belong. */
export function takeTyped(): string {
  const taken = waiting;
  waiting = null;
  taken?.stop();
  return taken?.text ?? "";
}
