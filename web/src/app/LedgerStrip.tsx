import { useQuery } from "@tanstack/react-query";
import { ledgerQuery } from "../api/queries";
import { count } from "../lib/format";
import { Icon, Loaded } from "../ui";
import css from "./LedgerStrip.module.css";

/** Whether the money adds up, as the server has just worked it out over the whole journal. */
export function LedgerStrip() {
  const ledger = useQuery(ledgerQuery);
  return (
    <Loaded of={ledger} waiting="Folding the whole journal…">
      {(data) => (
        <div className={css.strip}>
          <span>
            <Icon name="ledger" /> The ledger
          </span>
          <Fact good={data.balanced} yes="Sums to zero" no="Does not sum to zero" />
          <Fact good={data.chain_verified} yes="Chain verifies" no="Chain is broken" />
          <span>
            <b>{count(data.transactions)}</b> {data.transactions === 1 ? "line" : "lines"},{" "}
            <b>{count(data.sealed_transactions)}</b> sealed
          </span>
          <span>
            <b>{count(data.open_holds)}</b> {data.open_holds === 1 ? "hold" : "holds"} open
          </span>
          {data.problems.length > 0 && (
            <ul>
              {data.problems.map((problem) => (
                <li key={problem}>{problem}</li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Loaded>
  );
}

function Fact({ good, yes, no }: { good: boolean; yes: string; no: string }) {
  return (
    <span className={good ? css.good : css.bad}>
      <Icon name={good ? "check" : "warn"} /> {good ? yes : no}
    </span>
  );
}
