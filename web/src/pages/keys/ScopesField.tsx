import { useId } from "react";
import { uiCss } from "../../ui";
import css from "./Keys.module.css";
import { AREAS, type May, type Scopes } from "./scopes";

export { scopeList, scopeWords, type Scopes } from "./scopes";

const MAY: [May, string][] = [
  ["none", "Nothing"],
  ["read", "Look"],
  ["write", "Change"],
];

/** What a key may: everything that its person may, or named areas only. */
export function ScopesField({
  limited,
  onLimited,
  scopes,
  onChange,
}: {
  limited: boolean;
  onLimited: (limited: boolean) => void;
  scopes: Scopes;
  onChange: (scopes: Scopes) => void;
}) {
  const group = useId();
  return (
    <fieldset className={css.scopes}>
      <legend>It may</legend>
      <label>
        <input type="radio" name={group} checked={!limited} onChange={() => onLimited(false)} /> everything that you may
      </label>
      <label>
        <input type="radio" name={group} checked={limited} onChange={() => onLimited(true)} /> only what is chosen here
      </label>
      {limited && (
        <div className={css.areas}>
          {AREAS.map(([area, label]) => (
            <fieldset key={area} className={css.area}>
              <legend className="sr-only">{label}</legend>
              <span aria-hidden="true">{label}</span>
              <div className={uiCss.segments}>
                {MAY.map(([may, word]) => (
                  <label key={may} className={uiCss.segment}>
                    <input
                      type="radio"
                      name={`${group}-${area}`}
                      aria-label={`${label}: ${word}`}
                      checked={(scopes[area] ?? "none") === may}
                      onChange={() => onChange({ ...scopes, [area]: may })}
                    />
                    <span>{word}</span>
                  </label>
                ))}
              </div>
            </fieldset>
          ))}
        </div>
      )}
    </fieldset>
  );
}
