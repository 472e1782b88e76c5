import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { api } from "../../api/http";
import { meQuery } from "../../api/queries";
import type { Organisation } from "../../api/types";
import { useTitle } from "../../app/Page";
import { useSwitchOrganisation } from "../../app/session";
import { Button, ProblemView } from "../../ui";
import { AuthFrame } from "./AuthFrame";
import css from "./auth.module.css";

/** The page behind an invitation's link. */
export default function Join() {
  useTitle("Join");
  const [search] = useSearchParams();
  const token = search.get("token") ?? "";
  const switchTo = useSwitchOrganisation();
  const me = useQuery(meQuery);
  const accept = useMutation({
    mutationFn: () => api.post<Organisation>("/v1/identity/invitations/accept", { token }),
    onSuccess: (organisation) => switchTo(organisation.id),
  });
  const back = encodeURIComponent(`/join?token=${token}`);
  return (
    <AuthFrame>
      <div className={css.form}>
        <h1>You are invited</h1>
        <p className={css.lead}>
          Somebody wants to share an organisation’s projects, and perhaps its credits, with you.
        </p>
        {accept.error && <ProblemView error={accept.error} />}
        {me.data ? (
          <Button
            look="primary"
            size="large"
            onClick={() => accept.mutate()}
            because={accept.isPending ? "One moment" : null}
          >
            Join as {me.data.user.name || me.data.user.email}
          </Button>
        ) : (
          <>
            <p>Sign in, or make an account, with the address that was invited. This page then opens again.</p>
            <Link to={`/sign-up?to=${back}`}>Sign up</Link>
            <Link to={`/sign-in?to=${back}`}>Sign in</Link>
          </>
        )}
      </div>
    </AuthFrame>
  );
}
