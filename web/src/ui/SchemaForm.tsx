import { Fragment, useId, type ReactNode } from "react";
import type { AssetField, Field, Option, Values } from "../lib/schema";
import { FieldFrame, Slider, uiCss as css } from "./index";

const SEGMENTS_MAX = 6;
const RATIO_PX = 12;

/**
 * The form of a tool, made from its input schema alone. Media is chosen by what `asset` answers; without it, such
 * fields are chosen elsewhere.
 */
export function SchemaForm({
  fields,
  values,
  faults,
  asset,
  onChange,
}: {
  fields: Field[];
  values: Values;
  faults: Record<string, string>;
  asset?: (field: AssetField) => ReactNode;
  onChange: (name: string, value: unknown) => void;
}) {
  return (
    <>
      {fields.map((field) =>
        field.kind === "asset" ? (
          <Fragment key={field.name}>{asset?.(field)}</Fragment>
        ) : (
          <SchemaField
            key={field.name}
            field={field}
            value={values[field.name]}
            fault={faults[field.name]}
            onChange={(value) => onChange(field.name, value)}
          />
        ),
      )}
    </>
  );
}

function SchemaField({
  field,
  value,
  fault,
  onChange,
}: {
  field: Exclude<Field, AssetField>;
  value: unknown;
  fault: string | undefined;
  onChange: (value: unknown) => void;
}) {
  switch (field.kind) {
    case "choice":
      return field.options.length <= SEGMENTS_MAX ? (
        <Segments field={field} value={value} onChange={onChange} />
      ) : (
        <FieldFrame label={field.label} help={field.help} fault={fault}>
          {({ id, describedBy }) => (
            <select
              id={id}
              className={css.input}
              aria-describedby={describedBy}
              value={field.options.findIndex((option) => option.value === value)}
              onChange={(event) => onChange(field.options[Number(event.target.value)]?.value)}
            >
              {field.options.map((option, index) => (
                <option key={index} value={index}>
                  {option.label}
                </option>
              ))}
            </select>
          )}
        </FieldFrame>
      );
    case "number":
      return <NumberField field={field} value={value} fault={fault} onChange={onChange} />;
    case "switch":
      return (
        <FieldFrame label={field.label} help={field.help} fault={fault}>
          {({ id, describedBy }) => (
            <span className={css.switch}>
              <input
                id={id}
                type="checkbox"
                aria-describedby={describedBy}
                checked={value === true}
                onChange={(event) => onChange(event.target.checked)}
              />
              {value === true ? "On" : "Off"}
            </span>
          )}
        </FieldFrame>
      );
    case "text":
      return (
        <FieldFrame label={field.label} help={field.help} fault={fault}>
          {({ id, describedBy, invalid }) =>
            field.line ? (
              <input
                id={id}
                className={css.input}
                aria-describedby={describedBy}
                aria-invalid={invalid || undefined}
                maxLength={field.lengthMax ?? undefined}
                value={String(value ?? "")}
                onChange={(event) => onChange(event.target.value)}
              />
            ) : (
              <textarea
                id={id}
                className={css.input}
                aria-describedby={describedBy}
                aria-invalid={invalid || undefined}
                maxLength={field.lengthMax ?? undefined}
                value={String(value ?? "")}
                onChange={(event) => onChange(event.target.value)}
              />
            )
          }
        </FieldFrame>
      );
  }
}

function Segments({
  field,
  value,
  onChange,
}: {
  field: Extract<Field, { kind: "choice" }>;
  value: unknown;
  onChange: (value: unknown) => void;
}) {
  const group = useId();
  return (
    <fieldset className={css.field}>
      <legend className={css.label} style={{ padding: 0, marginBottom: 4 }}>
        {field.label}
      </legend>
      <div className={css.segments} style={{ gridTemplateColumns: `repeat(${columnsFor(field.options)}, 1fr)` }}>
        {field.options.map((option) => (
          <label key={String(option.value)} className={css.segment}>
            <input type="radio" name={group} checked={option.value === value} onChange={() => onChange(option.value)} />
            <span>
              <Ratio of={String(option.value)} />
              {option.label}
            </span>
          </label>
        ))}
      </div>
      {field.help && <p className={css.help}>{field.help}</p>}
    </fieldset>
  );
}

const LABEL_SHORT = 5;

/** Rows of equal length: four long words are two rows of two, never three and one. */
function columnsFor(options: Option[]): number {
  if (options.length <= 3) return options.length;
  const short = options.every((option) => option.label.length <= LABEL_SHORT);
  return short ? options.length : options.length % 3 === 0 ? 3 : 2;
}

/** A small frame of the ratio that an option names, so that one need not read it. */
function Ratio({ of }: { of: string }) {
  const parts = /^(\d+):(\d+)$/.exec(of);
  if (!parts) return null;
  const ratio = Number(parts[1]) / Number(parts[2]);
  const [width, height] = ratio >= 1 ? [RATIO_PX, RATIO_PX / ratio] : [RATIO_PX * ratio, RATIO_PX];
  return <i className={css.ratio} style={{ width, height }} aria-hidden="true" />;
}

function NumberField({
  field,
  value,
  fault,
  onChange,
}: {
  field: Extract<Field, { kind: "number" }>;
  value: unknown;
  fault: string | undefined;
  onChange: (value: unknown) => void;
}) {
  const number = typeof value === "number" ? value : "";
  const bounded = field.min !== null && field.max !== null;
  const set = (text: string) => onChange(text === "" ? undefined : Number(text));
  return (
    <FieldFrame label={field.unit ? `${field.label} (${field.unit})` : field.label} help={field.help} fault={fault}>
      {({ id, describedBy, invalid }) => {
        const box = (
          <input
            id={id}
            type="number"
            className={css.input}
            min={field.min ?? undefined}
            max={field.max ?? undefined}
            step={field.step}
            value={number}
            aria-describedby={describedBy}
            aria-invalid={invalid || undefined}
            onChange={(event) => set(event.target.value)}
          />
        );
        if (!bounded) return box;
        return (
          <span className={css.range}>
            <Slider
              aria-label={field.label}
              min={field.min ?? 0}
              max={field.max ?? 0}
              step={field.step}
              value={number === "" ? (field.min ?? 0) : number}
              onChange={(event) => set(event.target.value)}
            />
            {box}
          </span>
        );
      }}
    </FieldFrame>
  );
}
