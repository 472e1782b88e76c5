import { useState } from "react";
import { ProblemError } from "../api/problem";
import { FieldFrame, Icon, TextField, uiCss } from "../ui";
import css from "./publish.module.css";
import { TAG_MAX, TAG_MIN, tagOf } from "./words";

export interface Words {
  title: string;
  text: string;
  tags: string[];
}

export const TITLE_MAX = 120;
const TEXT_MAX = 2_000;
const TAGS_MAX = 8;

/** Title, text and tags of a post, where it is published and where it is edited. */
export function PostWords({
  words,
  onChange,
  error,
}: {
  words: Words;
  onChange: (words: Words) => void;
  error: unknown;
}) {
  const faults = error instanceof ProblemError ? (error.problem.errors ?? []) : [];
  const faultOf = (name: string) => faults.find((fault) => fault.pointer.startsWith(`/${name}`))?.message ?? null;
  return (
    <>
      <TextField
        label="Title"
        required
        maxLength={TITLE_MAX}
        value={words.title}
        fault={faultOf("title")}
        onChange={(event) => onChange({ ...words, title: event.target.value })}
      />
      <FieldFrame label="Text" help="How it came about, for whoever looks closer." fault={faultOf("text")}>
        {({ id, describedBy, invalid }) => (
          <textarea
            id={id}
            className={uiCss.input}
            aria-describedby={describedBy}
            aria-invalid={invalid || undefined}
            maxLength={TEXT_MAX}
            value={words.text}
            onChange={(event) => onChange({ ...words, text: event.target.value })}
          />
        )}
      </FieldFrame>
      <TagsField tags={words.tags} fault={faultOf("tags")} onChange={(tags) => onChange({ ...words, tags })} />
    </>
  );
}

function TagsField({
  tags,
  fault,
  onChange,
}: {
  tags: string[];
  fault: string | null;
  onChange: (tags: string[]) => void;
}) {
  const [typed, setTyped] = useState("");
  const add = (text: string) => {
    const next = [...tags];
    for (const part of text.split(",")) {
      const tag = tagOf(part);
      if (tag.length >= TAG_MIN && !next.includes(tag) && next.length < TAGS_MAX) next.push(tag);
    }
    setTyped("");
    if (next.length !== tags.length) onChange(next);
  };
  return (
    <FieldFrame label="Tags" help={`Up to ${TAGS_MAX}; a comma or return ends one.`} fault={fault}>
      {({ id, describedBy }) => (
        <div className={css.tagsField}>
          {tags.map((tag) => (
            <button
              key={tag}
              type="button"
              aria-label={`Remove the tag ${tag}`}
              onClick={() => onChange(tags.filter((one) => one !== tag))}
            >
              {tag} <Icon name="close" size={12} />
            </button>
          ))}
          <input
            id={id}
            aria-describedby={describedBy}
            value={typed}
            disabled={tags.length >= TAGS_MAX}
            maxLength={TAG_MAX * 2}
            placeholder={tags.length === 0 ? "portrait, night" : ""}
            onChange={(event) =>
              event.target.value.includes(",") ? add(event.target.value) : setTyped(event.target.value)
            }
            onBlur={() => add(typed)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && typed.trim()) {
                event.preventDefault();
                add(typed);
              }
              const last = tags.at(-1);
              if (event.key === "Backspace" && !typed && last) onChange(tags.slice(0, -1));
            }}
          />
        </div>
      )}
    </FieldFrame>
  );
}
