import { useEffect } from "react";
import { Button, ButtonLink, Icon } from "../../ui";
import { useConnection, useOpen } from "./context";
import css from "./Board.module.css";

/** One line where something about the connection or one's authority must be known; else nothing. */
export function BoardNotice() {
  const { connection, canEdit, canComment } = useOpen();
  const { state, unsent, closedBecause } = useConnection();
  useEffect(() => {
    if (!unsent) return;
    // The browser asks before what was not sent is lost with the page.
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [unsent]);
  if (state === "closed")
    return (
      <div className={css.notice} data-tone="bad" role="alert">
        <Icon name="warn" /> <p>{closedBecause ?? "The server closed this board."}</p>
        <ButtonLink to="/boards">All boards</ButtonLink>
        <Button onClick={connection.again}>Try again</Button>
      </div>
    );
  if (state === "cut off")
    return (
      <div className={css.notice} data-tone="live" role="status">
        <Icon name="clock" />
        <p>
          Not connected.{" "}
          {unsent
            ? "What you change is kept in this page and sent when the server answers again: leave the page open."
            : "You see the board as it was; it catches up by itself."}
        </p>
        <Button onClick={connection.again}>Connect now</Button>
      </div>
    );
  if (!canEdit)
    return (
      <div className={css.notice} role="status">
        <Icon name="eye" />
        <p>
          You may look{canComment ? " and comment" : ""}. To change something, ask the owner, or make it a board of your
          own from a template.
        </p>
      </div>
    );
  return null;
}
