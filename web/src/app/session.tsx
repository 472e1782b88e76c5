import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Navigate, Outlet, useLocation, useNavigate } from "react-router";
import { api } from "../api/http";
import { ProblemError } from "../api/problem";
import { keys, meQuery } from "../api/queries";
import type { Me, Organisation, Project } from "../api/types";
import { ProblemView } from "../ui";

export interface Session {
  me: Me;
  organisation: Organisation;
  project: Project | null;
  staff: boolean;
}

/** Who is signed in. Only for pages behind `SignedIn`. */
export function useSession(): Session {
  const { data } = useQuery(meQuery);
  if (!data) throw new Error("useSession outside of a signed-in page");
  return sessionOf(data);
}

function sessionOf(me: Me): Session {
  const organisation = me.organisation ?? me.organisations[0] ?? { id: "", name: "No organisation", role: "viewer" };
  return { me, organisation, project: me.projects[0] ?? null, staff: me.user.staff };
}

function notSignedIn(error: unknown): boolean {
  return error instanceof ProblemError && error.problem.status === 401;
}

export function SignedIn() {
  const { data, error, refetch, isPending } = useQuery(meQuery);
  const here = useLocation();
  if (data) return <Outlet />;
  if (isPending) return null;
  if (data === null || notSignedIn(error)) {
    const to = here.pathname + here.search;
    return (
      <Navigate to={to === "/" || to === "/studio" ? "/sign-in" : `/sign-in?to=${encodeURIComponent(to)}`} replace />
    );
  }
  return (
    <main style={{ maxWidth: 480, margin: "20vh auto", padding: 16 }}>
      <ProblemView error={error} onRetry={() => void refetch()} />
    </main>
  );
}

export function Guest() {
  const { data } = useQuery(meQuery);
  const here = useLocation();
  if (!data) return <Outlet />;
  const to = new URLSearchParams(here.search).get("to");
  // Only addresses of this app: never a page that someone else wrote into the link.
  return <Navigate to={to?.startsWith("/") && !to.startsWith("//") ? to : "/studio"} replace />;
}

export function useSignOut(): () => Promise<void> {
  const client = useQueryClient();
  const navigate = useNavigate();
  return async () => {
    await api.post("/v1/identity/sign-out").catch(() => undefined);
    client.clear();
    client.setQueryData(keys.me, null);
    void navigate("/sign-in");
  };
}

export function useSwitchOrganisation(): (id: string) => Promise<void> {
  return async (id) => {
    await api.post("/v1/identity/switch", { organisation_id: id });
    // Everything on every page belongs to the other organisation now.
    location.assign("/studio");
  };
}
