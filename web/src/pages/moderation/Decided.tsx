import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { decisionsQuery } from "../../api/audit";
import { membersQuery } from "../../api/queries";
import { ButtonLink, Empty, Loaded } from "../../ui";
import { LogByDay } from "../audit/LogByDay";
import { decisionSentence } from "../audit/sentences";

/** What staff decided about reports, newest first. */
export function Decided() {
  const log = useInfiniteQuery(decisionsQuery);
  const staff = useQuery(membersQuery).data?.items ?? [];
  const person = (id: string) => staff.find((one) => one.user_id === id)?.name ?? null;
  const rows = log.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Loaded of={log} waiting="Reading what was decided…">
      {() =>
        rows.length === 0 ? (
          <Empty
            title="Nothing was decided yet"
            actions={
              <ButtonLink look="primary" to="/moderation">
                What was reported
              </ButtonLink>
            }
          >
            Each decision about a report is written down here, with who made it and the reason that its author reads.
          </Empty>
        ) : (
          <LogByDay
            of={log}
            lines={rows.map((row) => ({
              id: row.id,
              at: row.at,
              icon: "shield",
              words: decisionSentence(row, person),
              about: row.target_id,
            }))}
          />
        )
      }
    </Loaded>
  );
}
