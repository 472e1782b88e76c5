import { initials } from "../../ui/Avatar";
import { colorOf } from "./doc/peers";
import css from "./Board.module.css";

/** The first letters of somebody's name, in the colour that they have on every board. */
export function Face({ id, name, color = colorOf(id) }: { id: string; name: string; color?: string }) {
  return (
    <span className={css.face} style={{ background: color }} aria-hidden="true">
      {initials(name)}
    </span>
  );
}
