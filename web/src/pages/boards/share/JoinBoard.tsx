import { useMutation } from "@tanstack/react-query";
import { useEffect } from "react";
import { Navigate, useSearchParams } from "react-router";
import { boardCalls } from "../../../api/boards";
import { Page } from "../../../app/Page";
import { ButtonLink, ProblemView } from "../../../ui";

/** Where a share link leads: it is accepted once, then the board opens. */
export default function JoinBoard() {
  const [search] = useSearchParams();
  const token = search.get("token") ?? "";
  const accept = useMutation({ mutationFn: boardCalls.accept });
  const { mutate } = accept;
  useEffect(() => mutate(token), [mutate, token]);
  if (accept.data) return <Navigate to={`/boards/${accept.data.id}`} replace />;
  return (
    <Page title="A board was shared with you">
      {accept.error ? (
        <>
          <ProblemView error={accept.error} onRetry={() => mutate(token)} />
          <p style={{ marginTop: 16 }}>
            <ButtonLink to="/boards">Your boards</ButtonLink>
          </p>
        </>
      ) : (
        <p role="status">Opening it…</p>
      )}
    </Page>
  );
}
