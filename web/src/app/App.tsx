import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import * as Tooltip from "@radix-ui/react-tooltip";
import { createBrowserRouter, Navigate, RouterProvider, type RouteObject } from "react-router";
import { keys } from "../api/queries";
import { ProblemError } from "../api/problem";
import { ToastProvider } from "../ui/toasts";
import { PageFault, NotFound } from "./faults";
import { Guest, SignedIn } from "./session";
import { Shell } from "./Shell";

/** A wrong password is refused with the same status, and ends no session. */
const SIGNED_OUT = new Set(["unauthenticated", "session_ended"]);

/** Signed out elsewhere, or the session ended: ask again who this is, and the guard shows the door. */
function onError(error: unknown) {
  if (error instanceof ProblemError && SIGNED_OUT.has(error.code)) client.setQueryData(keys.me, null);
}

const RETRIES_MAX = 2;

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      // What the server decided is not asked for again; only what it failed to answer is.
      retry: (failures, error) =>
        !(error instanceof ProblemError && error.problem.status < 500 && error.problem.status > 0) &&
        failures < RETRIES_MAX,
    },
  },
});

const page = (load: () => Promise<{ default: React.ComponentType }>): Pick<RouteObject, "lazy"> => ({
  lazy: async () => ({ Component: (await load()).default }),
});

const routes: RouteObject[] = [
  {
    errorElement: <PageFault />,
    hydrateFallbackElement: <></>,
    children: [
      {
        element: <Guest />,
        children: [
          { path: "/sign-up", ...page(() => import("../pages/auth/SignUp")) },
          { path: "/sign-in", ...page(() => import("../pages/auth/SignIn")) },
        ],
      },
      { path: "/join", ...page(() => import("../pages/auth/Join")) },
      {
        element: <SignedIn />,
        children: [
          {
            element: <Shell />,
            errorElement: <PageFault />,
            children: [
              {
                errorElement: <PageFault />,
                children: [
                  { index: true, element: <Navigate to="/studio" replace /> },
                  { path: "/studio", ...page(() => import("../pages/studio/Studio")) },
                  { path: "/community", ...page(() => import("../pages/community/Community")) },
                  { path: "/community/:id", ...page(() => import("../pages/community/PostPage")) },
                  { path: "/people/:handle", ...page(() => import("../pages/people/ProfilePage")) },
                  { path: "/profile", ...page(() => import("../pages/people/EditProfile")) },
                  { path: "/notifications", ...page(() => import("../pages/notifications/Notifications")) },
                  { path: "/boards", ...page(() => import("../pages/boards/Boards")) },
                  { path: "/boards/join", ...page(() => import("../pages/boards/share/JoinBoard")) },
                  { path: "/boards/:id", ...page(() => import("../pages/boards/BoardPage")) },
                  { path: "/tools", ...page(() => import("../pages/tools/Tools")) },
                  { path: "/tools/import", ...page(() => import("../pages/tools/ImportComfy")) },
                  { path: "/tools/:name", ...page(() => import("../pages/tools/ToolPage")) },
                  { path: "/moderation", ...page(() => import("../pages/moderation/Moderation")) },
                  { path: "/account", ...page(() => import("../pages/account/Account")) },
                  { path: "/library", ...page(() => import("../pages/library/Library")) },
                  { path: "/library/:id", ...page(() => import("../pages/library/AssetPage")) },
                  { path: "/runs", ...page(() => import("../pages/runs/Runs")) },
                  { path: "/runs/:id", ...page(() => import("../pages/runs/RunPage")) },
                  { path: "/team", ...page(() => import("../pages/team/Team")) },
                  { path: "/keys", ...page(() => import("../pages/keys/Keys")) },
                  { path: "/billing", ...page(() => import("../pages/billing/Billing")) },
                  { path: "/audit", ...page(() => import("../pages/audit/Audit")) },
                  { path: "/numbers", ...page(() => import("../pages/numbers/Numbers")) },
                  { path: "/numbers/:name", ...page(() => import("../pages/numbers/NumberPage")) },
                  { path: "/fleet", ...page(() => import("../pages/fleet/FleetPage")) },
                  { path: "*", element: <NotFound /> },
                ],
              },
            ],
          },
        ],
      },
    ],
  },
];

const router = createBrowserRouter(routes);

export function App() {
  return (
    <QueryClientProvider client={client}>
      <Tooltip.Provider delayDuration={400}>
        <ToastProvider>
          <RouterProvider router={router} />
        </ToastProvider>
      </Tooltip.Provider>
    </QueryClientProvider>
  );
}
