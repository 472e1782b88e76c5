import { useRouteError } from "react-router";
import { Button, ButtonLink, Empty, ProblemView } from "../ui";
import { Page } from "./Page";

/** A page that could not be shown: most often the server was updated and the page's code has a new name. */
export function PageFault() {
  const error = useRouteError();
  return (
    <Page title="This page could not be shown">
      <ProblemView error={error} />
      <div style={{ display: "flex", gap: 8, marginTop: 16 }}>
        <Button look="primary" onClick={() => location.reload()}>
          Load it again
        </Button>
        <Button onClick={() => location.assign("/studio")}>Go to the studio</Button>
      </div>
    </Page>
  );
}

export function NotFound() {
  return (
    <Page title="There is nothing at this address">
      <Empty
        title="It may have moved, or the address may be cut short"
        actions={
          <ButtonLink look="primary" to="/studio">
            Go to the studio
          </ButtonLink>
        }
      >
        Press ⌘K, or Ctrl+K, to find a page, a run or a picture by its name.
      </Empty>
    </Page>
  );
}
