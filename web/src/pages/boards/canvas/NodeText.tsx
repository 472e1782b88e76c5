import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useNode, useOpen } from "../context";
import { editBetween, shifted } from "../doc/text";
import css from "./nodes.module.css";

const LENGTH_MAX = 20_000;

/** The text of a prompt or a note: read until one double-clicks or presses Enter, then written, by several at once. */
export function NodeText({
  id,
  name,
  selected,
  placeholder,
}: {
  id: string;
  name: "prompt" | "text";
  selected: boolean;
  placeholder: string;
}) {
  const { canEdit, board } = useOpen();
  const value = String(useNode(id)?.params[name] ?? "");
  const [editing, setEditing] = useState(() => canEdit && due === id);
  useEffect(() => {
    if (!selected) setEditing(false);
  }, [selected]);
  useEffect(() => {
    const begin = () => {
      if (due !== id) return;
      due = null;
      if (canEdit) setEditing(true);
    };
    begin();
    addEventListener(EDIT_TEXT, begin);
    return () => removeEventListener(EDIT_TEXT, begin);
  }, [id, canEdit]);
  if (!editing)
    return (
      <p className={css.text} data-empty={!value || undefined} onDoubleClick={() => canEdit && setEditing(true)}>
        {value || placeholder}
      </p>
    );
  return (
    <SharedTextarea
      className={`${css.text} nodrag nowheel nopan`}
      label={name === "prompt" ? "Prompt" : "Note"}
      value={value}
      placeholder={placeholder}
      autoFocus
      onChange={(next) => board.setText(id, name, next)}
      onLeave={() => setEditing(false)}
    />
  );
}

const EDIT_TEXT = "backlot:edit-text";
/** The node whose text is to be written as soon as it is drawn: the first key after putting it down is already text. */
let due: string | null = null;

export function editText(id: string): void {
  due = id;
  dispatchEvent(new Event(EDIT_TEXT));
}

/** A text area whose caret stays with its word while somebody else types. */
export function SharedTextarea({
  value,
  onChange,
  onLeave,
  label,
  className,
  placeholder,
  autoFocus,
  readOnly,
}: {
  value: string;
  onChange: (next: string) => void;
  onLeave?: () => void;
  label: string;
  className?: string;
  placeholder?: string;
  autoFocus?: boolean;
  readOnly?: boolean;
}) {
  const box = useRef<HTMLTextAreaElement>(null);
  const typed = useRef(value);
  useLayoutEffect(() => {
    const area = box.current;
    if (!area || typed.current === value) return;
    const edit = editBetween(typed.current, value);
    typed.current = value;
    if (!edit || document.activeElement !== area) return;
    // The browser put the caret at the end when the text changed under it.
    const [start, end] = caret.current;
    area.setSelectionRange(shifted(start, edit), shifted(end, edit));
  }, [value]);
  const caret = useRef<[number, number]>([value.length, value.length]);
  const remember = () => {
    const area = box.current;
    if (area) caret.current = [area.selectionStart, area.selectionEnd];
  };
  useEffect(() => {
    if (!autoFocus) return;
    box.current?.focus({ preventScroll: true });
    box.current?.setSelectionRange(value.length, value.length);
  }, []);
  return (
    <textarea
      ref={box}
      className={className}
      aria-label={label}
      value={value}
      maxLength={LENGTH_MAX}
      placeholder={placeholder}
      readOnly={readOnly}
      onSelect={remember}
      onChange={(event) => {
        typed.current = event.target.value;
        remember();
        onChange(event.target.value);
      }}
      onBlur={onLeave}
      onKeyDown={(event) => {
        if (event.key === "Escape") onLeave?.();
      }}
    />
  );
}
