import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { queueQuery, reviewsQuery } from "../../api/moderation";
import { Page } from "../../app/Page";
import { useSession } from "../../app/session";
import { ButtonLink, Empty, Kbd } from "../../ui";
import css from "./moderation.module.css";
import { Decided } from "./Decided";
import { Queue } from "./Queue";
import { Reviews } from "./Reviews";

const OF = ["reports", "reviews", "decided"] as const;

/** Where staff decide: what people reported, and what the safety model withheld. */
export default function Moderation() {
  const { staff } = useSession();
  const [search] = useSearchParams();
  const of = OF.find((one) => one === search.get("of")) ?? "reports";
  if (!staff) {
    return (
      <Page title="Moderation">
        <Empty
          title="This is for the staff of the studio"
          actions={<ButtonLink to="/community">To the community</ButtonLink>}
        >
          You can report anything that should not be on the wall from its own page: a person looks at every report.
        </Empty>
      </Page>
    );
  }
  if (of === "decided") {
    return (
      <Page title="Moderation" wide lead="What was decided about reports, by whom and why." actions={<Tabs of={of} />}>
        <Decided />
      </Page>
    );
  }
  return (
    <Page
      title="Moderation"
      wide
      lead={
        <>
          <span className={css.byKeys}>
            <Kbd>j</Kbd> <Kbd>k</Kbd> go through it
            {of === "reviews" ? (
              <>
                , <Kbd>a</Kbd> lets pass, <Kbd>x</Kbd> keeps refused
              </>
            ) : (
              <>
                , <Kbd>a</Kbd> keeps, <Kbd>x</Kbd> takes down, <Kbd>b</Kbd> bans
              </>
            )}
            .
          </span>{" "}
          Each can be undone for six seconds.
        </>
      }
      actions={<Tabs of={of} />}
    >
      {of === "reviews" ? <Reviews /> : <Queue />}
    </Page>
  );
}

function Tabs({ of }: { of: (typeof OF)[number] }) {
  const reported = useInfiniteQuery(queueQuery).data?.pages.flatMap((page) => page.items).length;
  const withheld = useInfiniteQuery(reviewsQuery).data?.pages.flatMap((page) => page.items).length;
  return (
    <nav className={css.tabs} aria-label="Queues">
      <Link to="/moderation" aria-current={of === "reports" ? "page" : undefined}>
        Reports {reported !== undefined && <small>{reported}</small>}
      </Link>
      <Link to="/moderation?of=reviews" aria-current={of === "reviews" ? "page" : undefined}>
        Withheld by the model {withheld !== undefined && <small>{withheld}</small>}
      </Link>
      <Link to="/moderation?of=decided" aria-current={of === "decided" ? "page" : undefined}>
        Decided
      </Link>
    </nav>
  );
}
