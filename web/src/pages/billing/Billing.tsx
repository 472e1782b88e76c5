import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";
import { api } from "../../api/http";
import { balanceQuery, keys, plansQuery, subscriptionQuery, transactionsQuery } from "../../api/queries";
import type { Balance, Plan, Transaction } from "../../api/types";
import { LedgerStrip } from "../../app/LedgerStrip";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { credits, creditsExact, date, humanise, listOf } from "../../lib/format";
import { Bar, Button, Empty, Id, Loaded, ProblemView, Tag, uiCss, When } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./Billing.module.css";

const MINOR = 100;

export default function Billing() {
  const { staff } = useSession();
  const balance = useQuery({ ...balanceQuery, refetchInterval: 5_000 });
  return (
    <Page title="Billing" lead="Credits come as grants, are held while something runs, and are charged when it ends. Each step is a line in the ledger.">
      <Loaded of={balance} waiting="Adding up the ledger…">
        {(data) => (
          <>
            <Figures balance={data} />
            <Grants balance={data} />
          </>
        )}
      </Loaded>
      <Plans />
      <Transactions />
      {staff && (
        <div style={{ marginTop: 40 }}>
          <LedgerStrip />
        </div>
      )}
    </Page>
  );
}

function Figures({ balance }: { balance: Balance }) {
  const parts = [
    { name: "Available", value: balance.available_micro, color: "var(--slate)" },
    { name: "Held by what runs", value: balance.held_micro, color: "var(--amber)" },
    { name: "Spent", value: balance.spent_micro, color: "var(--line-strong)" },
  ];
  return (
    <section aria-label="Balance">
      <dl className={css.figures}>
        {parts.map((part) => (
          <div key={part.name}>
            <dt>
              <i style={{ background: part.color }} aria-hidden="true" />
              {part.name}
            </dt>
            <dd title={`${creditsExact(part.value)} credits`}>{credits(part.value)}</dd>
          </div>
        ))}
        <div>
          <dt>Granted in all</dt>
          <dd title={`${creditsExact(balance.granted_micro)} credits`}>{credits(balance.granted_micro)}</dd>
        </div>
      </dl>
      <div className={css.bar}>
        <Bar parts={parts} />
      </div>
    </section>
  );
}

function Grants({ balance }: { balance: Balance }) {
  return (
    <Section title="Grants, in the order they are spent">
      {balance.grants.length === 0 ? (
        <Empty title="No credits were granted yet">A plan grants credits at the start of each period. The free plan’s arrive at sign-up.</Empty>
      ) : (
        <ul className={css.grants}>
          {balance.grants.map((grant) => (
            <li key={grant.id}>
              <span>
                <b>{humanise(grant.label ?? grant.kind)}</b>
                <small>
                  since {date(grant.created_at)}
                  {grant.expires_at ? `, ends ${date(grant.expires_at)}` : ", does not end"}
                </small>
              </span>
              <span className={css.grantBar}>
                <Bar
                  parts={[
                    { value: grant.available_micro, color: "var(--slate)" },
                    { value: grant.held_micro, color: "var(--amber)" },
                    { value: grant.spent_micro, color: "var(--line-strong)" },
                  ]}
                />
              </span>
              <span className={css.grantLeft}>
                {credits(grant.available_micro)} of {credits(grant.granted_micro)} left
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Plans() {
  const client = useQueryClient();
  const { say } = useToasts();
  const plans = useQuery(plansQuery);
  const subscription = useQuery(subscriptionQuery);
  const change = useMutation({
    mutationFn: (plan: string) => api.post("/v1/billing/subscription", { plan }),
    onSuccess: async (_, plan) => {
      await client.invalidateQueries({ queryKey: subscriptionQuery.queryKey });
      void client.invalidateQueries({ queryKey: keys.balance });
      void client.invalidateQueries({ queryKey: transactionsQuery.queryKey });
      say({ title: `You are on ${humanise(plan)} now` });
    },
  });
  return (
    <Section title="Plan">
      {change.error && <ProblemView error={change.error} />}
      <Loaded of={plans} waiting="Fetching the plans…">
        {({ items }) => (
          <ul className={css.plans}>
            {items.map((plan) => {
              const current = subscription.data?.plan === plan.name;
              return (
                <li key={plan.name} data-current={current || undefined}>
                  <h3>{plan.label}</h3>
                  <p className={css.planPrice}>{priceOf(plan)}</p>
                  <p>{plan.description}</p>
                  {current ? (
                    <Tag tone="good">Your plan</Tag>
                  ) : (
                    <Button onClick={() => change.mutate(plan.name)} because={change.isPending ? "One moment" : null}>
                      Change to it
                    </Button>
                  )}
                </li>
              );
            })}
          </ul>
        )}
      </Loaded>
    </Section>
  );
}

function priceOf(plan: Plan): string {
  if (plan.price_minor === 0) return "Free";
  const price = new Intl.NumberFormat("en-GB", { style: "currency", currency: plan.currency }).format(plan.price_minor / MINOR);
  return plan.period_days > 0 ? `${price} for ${plan.period_days} days` : price;
}

function Transactions() {
  const { staff } = useSession();
  const transactions = useInfiniteQuery(transactionsQuery);
  const items = transactions.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Section title="Transactions">
      <Loaded of={transactions} waiting="Reading the ledger…">
        {() =>
          items.length === 0 ? (
            <Empty title="No line in the ledger yet">The first is written when credits are granted; then one for each hold and one for how it ended.</Empty>
          ) : (
            <>
              <div className={uiCss.scroll}>
                <table className={uiCss.table}>
                  <thead>
                    <tr>
                      <th>When</th>
                      <th>What</th>
                      <th>Why</th>
                      <th className={uiCss.num}>Credits</th>
                      <th>Run</th>
                      {staff && <th>Sealed</th>}
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => (
                      <TransactionRow key={one.id} transaction={one} staff={staff} />
                    ))}
                  </tbody>
                </table>
              </div>
              {transactions.hasNextPage && (
                <p style={{ marginTop: 16 }}>
                  <Button onClick={() => void transactions.fetchNextPage()}>Older lines</Button>
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </Section>
  );
}

function TransactionRow({ transaction, staff }: { transaction: Transaction; staff: boolean }) {
  return (
    <tr>
      <td>
        <When at={transaction.at} />
      </td>
      <td>{humanise(transaction.kind)}</td>
      <td className={css.why}>{transaction.reason ? listOf([humanise(transaction.reason)]) : ""}</td>
      <td className={uiCss.num}>{transaction.amount_micro !== undefined ? creditsExact(transaction.amount_micro) : ""}</td>
      <td>
        {transaction.run_id ? (
          <Link to={`/runs/${transaction.run_id}`}>
            <code>{transaction.run_id.slice(-8)}</code>
          </Link>
        ) : (
          <Id value={transaction.id} />
        )}
      </td>
      {staff && <td>{transaction.sealed ? "sealed" : "not yet"}</td>}
    </tr>
  );
}
