import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";
import { api } from "../../api/http";
import { balanceQuery, keys, plansQuery, subscriptionQuery, transactionsQuery } from "../../api/queries";
import type { Balance, Plan, Posting, Subscription, Transaction } from "../../api/types";
import { LedgerStrip } from "../../app/LedgerStrip";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { credits, creditsExact, date, humanise, listOf, shortId } from "../../lib/format";
import { Bar, Button, Empty, Id, Loaded, ProblemView, Tag, uiCss, When } from "../../ui";
import { useToasts } from "../../ui/toasts";
import css from "./Billing.module.css";

const MINOR = 100;

export default function Billing() {
  const { staff } = useSession();
  const balance = useQuery({ ...balanceQuery, refetchInterval: 5_000 });
  return (
    <Page
      title="Billing"
      lead="Credits come as grants, are held while something runs, and are charged when it ends. Each step is a line in the ledger."
    >
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
        <Empty title="No credits were granted yet">
          A plan grants credits at the start of each period. The free plan’s arrive at sign-up.
        </Empty>
      ) : (
        <ul className={css.grants}>
          {balance.grants.map((grant) => (
            <li key={grant.id}>
              <span>
                <b>{grant.reason || humanise(grant.source)}</b>
                <small>
                  {humanise(grant.kind)}, since {date(grant.effective_at)}
                  {grant.expires_at ? `, ends ${date(grant.returned_until ?? grant.expires_at)}` : ", does not end"}
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
                {credits(grant.available_micro)} of {credits(grant.amount_micro)} left
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
    mutationFn: (plan: string) => api.post<Subscription>("/v1/billing/subscription", { plan }),
    onSuccess: async (now) => {
      await client.invalidateQueries({ queryKey: subscriptionQuery.queryKey });
      void client.invalidateQueries({ queryKey: keys.balance });
      void client.invalidateQueries({ queryKey: transactionsQuery.queryKey });
      say(
        now.pending_plan
          ? {
              title: `${humanise(now.pending_plan)} begins when its invoice is paid`,
              text: now.invoice?.instructions ?? "",
            }
          : { title: `You are on ${humanise(now.plan)} now` },
      );
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
              const waits = subscription.data?.pending_plan === plan.name;
              return (
                <li key={plan.name} data-current={current || undefined}>
                  <h3>{plan.label}</h3>
                  <p className={css.planPrice}>{priceOf(plan)}</p>
                  <p>{plan.description}</p>
                  {current ? (
                    <Tag tone="good">Your plan</Tag>
                  ) : waits ? (
                    <>
                      <Tag tone="live">Waits for its invoice to be paid</Tag>
                      <p>{subscription.data?.invoice?.instructions}</p>
                    </>
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
  const price = new Intl.NumberFormat("en-GB", { style: "currency", currency: plan.currency }).format(
    plan.price_minor / MINOR,
  );
  return plan.period_days > 0 ? `${price} for ${plan.period_days} days` : price;
}

function Transactions() {
  const transactions = useInfiniteQuery(transactionsQuery);
  const items = transactions.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Section title="Transactions">
      <Loaded of={transactions} waiting="Reading the ledger…">
        {() =>
          items.length === 0 ? (
            <Empty title="No line in the ledger yet">
              The first is written when credits are granted; then one for each hold and one for how it ended.
            </Empty>
          ) : (
            <>
              <div className={uiCss.scroll}>
                <table className={`${uiCss.table} ${css.lines}`}>
                  <thead>
                    <tr>
                      <th className={uiCss.num}>Line</th>
                      <th>When</th>
                      <th>What</th>
                      <th>From and to</th>
                      <th className={uiCss.num}>Credits</th>
                      <th>About</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => (
                      <TransactionRow key={one.number} transaction={one} />
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

const RUN_KINDS: ReadonlySet<string> = new Set(["hold", "settle", "void", "refund"]);

function TransactionRow({ transaction }: { transaction: Transaction }) {
  const { kind, subject, postings } = transaction;
  const moved = postings.reduce((sum, posting) => sum + Math.max(0, posting.amount_micro), 0);
  return (
    <tr>
      <td className={uiCss.num}>{transaction.number}</td>
      <td>
        <When at={transaction.created_at} />
      </td>
      <td>{humanise(kind)}</td>
      <td className={css.why}>{`${accounts(postings, -1)} → ${accounts(postings, 1)}`}</td>
      <td className={uiCss.num}>{creditsExact(moved)}</td>
      <td>
        {RUN_KINDS.has(kind) ? (
          <Link to={`/runs/${subject}`}>
            <code>{shortId(subject)}</code>
          </Link>
        ) : (
          <Id value={subject} />
        )}
      </td>
    </tr>
  );
}

/** The accounts on one side of a line, each once: "grant:0190…" is a grant. */
function accounts(postings: Posting[], sign: 1 | -1): string {
  const names = postings
    .filter((posting) => Math.sign(posting.amount_micro) === sign)
    .map((posting) => humanise(posting.account.split(":")[0] ?? "").toLowerCase());
  return listOf([...new Set(names)]);
}
