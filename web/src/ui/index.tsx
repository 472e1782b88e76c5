import * as RadixDialog from "@radix-ui/react-dialog";
import * as RadixTooltip from "@radix-ui/react-tooltip";
import {
  useEffect,
  useId,
  useState,
  type ButtonHTMLAttributes,
  type CSSProperties,
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
} from "react";
import { Link, type LinkProps } from "react-router";
import { OFFLINE_CODE, toProblem } from "../api/problem";
import { ago, clock, dateTime, shortId } from "../lib/format";
import type { Phase } from "../api/types";
import { keyLabel } from "../lib/keys";
import { stateWord, tagWord, WAITING_PHASES } from "../lib/phases";
import { Icon, type IconName } from "./Icon";
import { useToasts } from "./toasts";
import css from "./ui.module.css";

export { Icon, type IconName } from "./Icon";
export { css as uiCss };

type Look = "plain" | "primary" | "quiet";
interface ButtonLook {
  look?: Look;
  size?: "normal" | "large";
  icon?: IconName;
  danger?: boolean;
}

function buttonClass({ look = "plain", size = "normal", danger }: ButtonLook, square: boolean): string {
  return [
    css.button,
    look === "primary" && css.primary,
    look === "quiet" && css.quiet,
    size === "large" && css.large,
    danger && css.danger,
    square && css.square,
  ]
    .filter(Boolean)
    .join(" ");
}

/** A button that cannot act now stays focusable and says why in `because`. */
export function Button({
  look,
  size,
  icon,
  danger,
  because,
  children,
  onClick,
  className,
  ...rest
}: ButtonLook & ButtonHTMLAttributes<HTMLButtonElement> & { because?: string | null }) {
  const button = (
    <button
      type="button"
      {...rest}
      className={`${buttonClass({ look, size, danger }, !children)} ${className ?? ""}`}
      aria-disabled={because ? true : undefined}
      onClick={(event) => {
        if (because) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
  return because ? <Tip text={because}>{button}</Tip> : button;
}

export function ButtonLink({ look, size, icon, danger, children, className, ...rest }: ButtonLook & LinkProps) {
  return (
    <Link {...rest} className={`${buttonClass({ look, size, danger }, !children)} ${className ?? ""}`}>
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}

/** A link outside the app's routes: downloads, documents. */
export function ButtonAnchor({
  look,
  size,
  icon,
  children,
  ...rest
}: ButtonLook & React.AnchorHTMLAttributes<HTMLAnchorElement>) {
  return (
    <a {...rest} className={buttonClass({ look, size }, !children)}>
      {icon && <Icon name={icon} />}
      {children}
    </a>
  );
}

export function Tip({ text, keys, children }: { text: string; keys?: string; children: ReactNode }) {
  return (
    <RadixTooltip.Root>
      <RadixTooltip.Trigger asChild>{children}</RadixTooltip.Trigger>
      <RadixTooltip.Portal>
        <RadixTooltip.Content className={css.tooltip} sideOffset={6} collisionPadding={8}>
          {text}
          {keys && <Kbd>{keys}</Kbd>}
        </RadixTooltip.Content>
      </RadixTooltip.Portal>
    </RadixTooltip.Root>
  );
}

const IS_APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

/** A key, or keys that are pressed together, as the keyboard here calls them. */
export function Kbd({ children }: { children: string }) {
  return <kbd className={css.kbd}>{keyLabel(children, IS_APPLE)}</kbd>;
}

export function FieldFrame({
  label,
  help,
  fault,
  children,
}: {
  label: string;
  help?: string | null | undefined;
  fault?: string | null | undefined;
  children: (ids: { id: string; describedBy: string | undefined; invalid: boolean }) => ReactNode;
}) {
  const id = useId();
  const noteId = `${id}-note`;
  return (
    <div className={css.field}>
      <label className={css.label} htmlFor={id}>
        {label}
      </label>
      {children({ id, describedBy: help || fault ? noteId : undefined, invalid: Boolean(fault) })}
      {fault ? (
        <p className={css.fault} id={noteId}>
          <Icon name="warn" size={14} /> {fault}
        </p>
      ) : (
        help && (
          <p className={css.help} id={noteId}>
            {help}
          </p>
        )
      )}
    </div>
  );
}

export function TextField({
  label,
  help,
  fault,
  ...rest
}: { label: string; help?: string; fault?: string | null } & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <FieldFrame label={label} help={help} fault={fault}>
      {({ id, describedBy, invalid }) => (
        <input
          {...rest}
          id={id}
          className={css.input}
          aria-describedby={describedBy}
          aria-invalid={invalid || undefined}
        />
      )}
    </FieldFrame>
  );
}

export function SelectField({
  label,
  help,
  children,
  ...rest
}: { label: string; help?: string } & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <FieldFrame label={label} help={help}>
      {({ id, describedBy }) => (
        <select {...rest} id={id} className={css.input} aria-describedby={describedBy}>
          {children}
        </select>
      )}
    </FieldFrame>
  );
}

export function Dialog({
  open,
  onClose,
  title,
  text,
  wide = false,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  text?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}) {
  return (
    <RadixDialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <RadixDialog.Portal>
        <RadixDialog.Overlay className={css.overlay} />
        <RadixDialog.Content
          className={wide ? `${css.dialog} ${css.dialogWide}` : css.dialog}
          {...(text ? {} : { "aria-describedby": undefined })}
        >
          <RadixDialog.Title>{title}</RadixDialog.Title>
          {text && <RadixDialog.Description className={css.dialogText}>{text}</RadixDialog.Description>}
          {children}
          <RadixDialog.Close asChild>
            <Button look="quiet" icon="close" aria-label="Close" className={css.dialogClose} />
          </RadixDialog.Close>
        </RadixDialog.Content>
      </RadixDialog.Portal>
    </RadixDialog.Root>
  );
}

/** Says what is not there yet and how it comes to be. */
export function Empty({ title, children, actions }: { title: string; children: ReactNode; actions?: ReactNode }) {
  return (
    <div className={css.empty}>
      <h2>{title}</h2>
      <p>{children}</p>
      {actions && <div className={css.emptyActions}>{actions}</div>}
    </div>
  );
}

/** A thin line with a thumb, filled up to it. */
export function Slider({ className, style, ...rest }: Omit<InputHTMLAttributes<HTMLInputElement>, "type">) {
  const [min, max] = [Number(rest.min ?? 0), Number(rest.max ?? 100)];
  const at = max > min ? Math.min(1, Math.max(0, (Number(rest.value) - min) / (max - min))) : 0;
  return (
    <input
      {...rest}
      type="range"
      className={[css.slider, className].filter(Boolean).join(" ")}
      style={{ ...style, "--at": `${at * 100}%` } as CSSProperties}
    />
  );
}

/** A problem document: title, detail, each field's fault, and its code, which links to its page. */
const NOT_FOUND = 404;

export function ProblemView({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const problem = toProblem(error);
  const known = problem.code !== OFFLINE_CODE && problem.code !== "web_error";
  return (
    <div className={css.problem} role="alert">
      <p className={css.problemTitle}>
        <Icon name="warn" /> {problem.title}
      </p>
      {problem.detail && <p>{problem.detail}</p>}
      {problem.errors && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((fault) => (
            <li key={fault.pointer}>
              <code>{fault.pointer}</code> {fault.message}
            </li>
          ))}
        </ul>
      )}
      <div className={css.problemFoot}>
        {known && (
          <a href={problem.type || `/docs/errors/${problem.code}`} target="_blank" rel="noreferrer">
            {problem.code}
          </a>
        )}
        {onRetry && <Button onClick={onRetry}>Try again</Button>}
      </div>
    </div>
  );
}

/** The three states of something that is asked for: words while waiting, the problem, or the thing. */
export function Loaded<T>({
  of,
  waiting = "Loading…",
  missing,
  children,
}: {
  of: { data: T | undefined; error: unknown; refetch: () => unknown };
  waiting?: string;
  /** What is said where it is not there, and where one may find it: asking again does not bring it. */
  missing?: { title: string; words: string; to: string; label: string };
  children: (data: T) => ReactNode;
}) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (missing && of.error && toProblem(of.error).status === NOT_FOUND)
    return (
      <Empty
        title={missing.title}
        actions={
          <ButtonLink look="primary" to={missing.to}>
            {missing.label}
          </ButtonLink>
        }
      >
        {missing.words}
      </Empty>
    );
  if (of.error) return <ProblemView error={of.error} onRetry={() => void of.refetch()} />;
  return (
    <p className={css.waiting} role="status">
      {waiting}
    </p>
  );
}

export function Tag({ tone = "plain", children }: { tone?: "plain" | "good" | "bad" | "live"; children: ReactNode }) {
  const color = tone === "good" ? css.good : tone === "bad" ? css.bad : tone === "live" ? css.live : "";
  return <span className={`${css.tag} ${color}`}>{children}</span>;
}

/** `phase`: where it says more than that something runs. */
export function StateTag({ state, phase }: { state: string; phase?: Phase | null }) {
  if (state === "running" && phase && WAITING_PHASES.has(phase))
    return (
      <Tag tone="live">
        <Icon name={phase === "reviewing" ? "eye" : "clock"} size={12} /> {tagWord(state, phase)}
      </Tag>
    );
  if (state === "succeeded")
    return (
      <Tag tone="good">
        <Icon name="check" size={12} /> {stateWord(state)}
      </Tag>
    );
  if (["failed", "refused", "expired"].includes(state))
    return (
      <Tag tone="bad">
        <Icon name="warn" size={12} /> {stateWord(state)}
      </Tag>
    );
  if (["running", "queued", "canceling"].includes(state))
    return (
      <Tag tone="live">
        <Icon name="clock" size={12} /> {stateWord(state)}
      </Tag>
    );
  return <Tag>{stateWord(state)}</Tag>;
}

/** The end of an id; a click copies all of it. */
export function Id({ value, whole = false }: { value: string; whole?: boolean }) {
  const { copy } = useCopy();
  return (
    <button type="button" className={css.id} title={`Copy ${value}`} onClick={() => void copy(value, "Id copied")}>
      {whole ? value : shortId(value)}
    </button>
  );
}

export function useCopy(): { copy: (text: string, said: string) => Promise<boolean> } {
  const { say } = useToasts();
  return {
    copy: async (text, said) => {
      try {
        await navigator.clipboard.writeText(text);
        say({ title: said });
        return true;
      } catch {
        say({ title: "The browser does not allow copying here", text });
        return false;
      }
    },
  };
}

const TICK_MS = 15_000;

export function When({ at, precise = false }: { at: string; precise?: boolean }) {
  const now = useNow(TICK_MS);
  return (
    <time dateTime={at} title={dateTime(at)}>
      {precise ? clock(at) : ago(at, now)}
    </time>
  );
}

export function useNow(every_ms: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}

/** Parts of a whole, as a thin bar. The words beside it carry the meaning. */
export function Bar({ parts }: { parts: { value: number; color: string }[] }) {
  const total = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  return (
    <span className={css.bar} aria-hidden="true">
      {parts.map((part, index) => (
        <i key={index} style={{ width: `${(100 * part.value) / total}%`, background: part.color }} />
      ))}
    </span>
  );
}
