import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from "react";
import { toProblem } from "../api/problem";
import { Icon } from "./Icon";
import css from "./ui.module.css";

interface Toast {
  title: string;
  text?: string;
  bad?: boolean;
  action?: { label: string; run: () => void };
}
interface Shown extends Toast {
  id: number;
}
interface Toasts {
  say: (toast: Toast) => void;
  sayProblem: (error: unknown) => void;
  /** Does it after a moment in which it can be undone. `undo` puts the page back. */
  later: (toast: Toast, act: () => void, undo: () => void) => void;
}

const SHOWN_MS = 5_000;
const UNDO_MS = 6_000;
const SHOWN_MAX = 3;

const Context = createContext<Toasts | null>(null);

export function useToasts(): Toasts {
  const toasts = useContext(Context);
  if (!toasts) throw new Error("useToasts outside of ToastProvider");
  return toasts;
}

export function ToastProvider({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<Shown[]>([]);
  const next = useRef(1);
  const remove = useCallback((id: number) => setShown((list) => list.filter((toast) => toast.id !== id)), []);

  const toasts = useMemo<Toasts>(() => {
    const show = (toast: Toast, ms: number) => {
      const id = next.current++;
      setShown((list) => [...list.slice(1 - SHOWN_MAX), { ...toast, id }]);
      setTimeout(() => remove(id), ms);
      return id;
    };
    return {
      say: (toast) => void show(toast, SHOWN_MS),
      sayProblem: (error) => {
        const problem = toProblem(error);
        show({ title: problem.title, text: problem.detail, bad: true }, SHOWN_MS * 2);
      },
      later: (toast, act, undo) => {
        let settled = false;
        const finish = () => {
          if (settled) return;
          settled = true;
          removeEventListener("pagehide", finish);
          act();
        };
        const timer = setTimeout(finish, UNDO_MS);
        addEventListener("pagehide", finish);
        const id = show(
          {
            ...toast,
            action: {
              label: "Undo",
              run: () => {
                if (settled) return;
                settled = true;
                clearTimeout(timer);
                removeEventListener("pagehide", finish);
                undo();
                remove(id);
              },
            },
          },
          UNDO_MS,
        );
      },
    };
  }, [remove]);

  return (
    <Context.Provider value={toasts}>
      {children}
      <div className={css.toasts} role="region" aria-label="Notices" aria-live="polite">
        {shown.map((toast) => (
          <div key={toast.id} className={css.toast}>
            {toast.bad && <Icon name="warn" />}
            <div>
              <strong>{toast.title}</strong>
              {toast.text && <p>{toast.text}</p>}
            </div>
            {toast.action && (
              <button type="button" className={css.button} onClick={toast.action.run}>
                {toast.action.label}
              </button>
            )}
          </div>
        ))}
      </div>
    </Context.Provider>
  );
}
