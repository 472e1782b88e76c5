import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { queueQuery, reviewsQuery } from "../../api/moderation";
import { Page } from "../../app/Page";
import { useSession } from "../../app/session";
import { ButtonLink, Empty, Kbd } from "../../ui";
import css from "./moderation.module.css";
import { Queue } from "./Queue";
import { Reviews } from "./Reviews";

/** Where staff decide: what people reported, and what the safety model withheld. */
export default function Moderation() {
  const { staff } = useSession();
  const [search] = useSearchParams();
  const reviews = search.get("of") === "reviews";
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
  return (
    <Page
      title="Moderation"
      wide
      lead={
        <>
          <span className={css.byKeys}>
            <Kbd>j</Kbd> <Kbd>k</Kbd> go through it
            {reviews ? (
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
      actions={<Tabs reviews={reviews} />}
    >
      {reviews ? <Reviews /> : <Queue />}
    </Page>
  );
}

function Tabs({ reviews }: { reviews: boolean }) {
  const reported = useInfiniteQuery(queueQuery).data?.pages.flatMap((page) => page.items).length;
  const withheld = useInfiniteQuery(reviewsQuery).data?.pages.flatMap((page) => page.items).length;
  return (
    <nav className={css.tabs} aria-label="Queues">
      <Link to="/moderation" aria-current={reviews ? undefined : "page"}>
        Reports {reported !== undefined && <small>{reported}</small>}
      </Link>
      <Link to="/moderation?of=reviews" aria-current={reviews ? "page" : undefined}>
        Withheld by the model {withheld !== undefined && <small>{withheld}</small>}
      </Link>
    </nav>
  );
}
