import { useEffect, type ReactNode } from "react";
import css from "./Page.module.css";

/** A page of the console: a title, what one can do, and the content. The studio has its own frame. */
export function Page({
  title,
  lead,
  actions,
  wide = false,
  children,
}: {
  title: string;
  lead?: ReactNode;
  actions?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}) {
  useTitle(title);
  return (
    <div className={wide ? `${css.page} ${css.wide}` : css.page}>
      <header className={css.head}>
        <div>
          <h1>{title}</h1>
          {lead && <div className={css.lead}>{lead}</div>}
        </div>
        {actions && <div className={css.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  );
}

export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className={css.section}>
      <header className={css.sectionHead}>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export function useTitle(title: string) {
  useEffect(() => {
    document.title = `${title} · Backlot`;
  }, [title]);
}
