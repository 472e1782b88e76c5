import type { Pool } from "../../api/types";
import { Section } from "../../app/Page";
import { capital, count, duration } from "../../lib/format";
import { Icon, Tag, uiCss } from "../../ui";
import css from "./fleet.module.css";

/** Where machines are ordered by need: how many are wanted and there, what one costs, how often one is taken away. */
export function Pools({ pools }: { pools: readonly Pool[] }) {
  if (pools.length === 0) return null;
  const priced = pools.some((pool) => pool.price_micro_per_hour != null);
  return (
    <Section title="Pools">
      <div className={uiCss.scroll} tabIndex={0} role="region" aria-label="Pools">
        <table className={`${uiCss.table} ${css.pools}`}>
          <thead>
            <tr>
              <th>Pool</th>
              <th className={uiCss.num}>Wanted</th>
              <th className={uiCss.num}>Booting</th>
              <th className={uiCss.num}>Running</th>
              <th className={uiCss.num}>Leaving</th>
              {priced && <th className={uiCss.num}>An hour</th>}
              {priced && <th className={uiCss.num}>Today</th>}
              <th className={uiCss.num}>Taken away</th>
              <th className={uiCss.num}>Boots in</th>
            </tr>
          </thead>
          <tbody>
            {pools.map((pool) => (
              <Row key={pool.name} pool={pool} priced={priced} />
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

function Row({ pool, priced }: { pool: Pool; priced: boolean }) {
  const bounds = `${count(pool.min)} to ${count(pool.max)}${pool.spares > 0 ? `, ${count(pool.spares)} spare` : ""}`;
  return (
    <tr>
      <td>
        <b>{pool.name}</b> {pool.spot && <Tag>spot</Tag>}
        <small className={css.poolOf}>
          {[pool.kind, pool.region, bounds].filter(Boolean).join(" · ")}
          {pool.unknown > 0 && ` · ${count(pool.unknown)} that nobody here ordered`}
        </small>
        {pool.trouble && (
          <small className={css.poolTrouble}>
            <Icon name="warn" size={12} /> {capital(pool.trouble)}
          </small>
        )}
      </td>
      <Fact name="Wanted" value={count(pool.wanted)} />
      <Fact name="Booting" value={count(pool.booting)} />
      <Fact name="Running" value={<b>{count(pool.running)}</b>} />
      <Fact name="Leaving" value={count(pool.draining)} />
      {priced && <Fact name="An hour" value={dollars(pool.price_micro_per_hour)} />}
      {priced && <Fact name="Today" value={dollars(pool.spent_today_micro)} />}
      <Fact name="Taken away" value={hazard(pool.taken_per_hour)} />
      <Fact name="Boots in" value={pool.boot_ms > 0 ? duration(pool.boot_ms) : "not measured"} />
    </tr>
  );
}

/** On a phone, where the row of names has no room, each stands over its figure. */
function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <td className={uiCss.num}>
      <span className={css.factName} aria-hidden="true">
        {name}
      </span>
      {value}
    </td>
  );
}

const MICRO = 1_000_000;
const dollars = (micro: number | null | undefined) => (micro == null ? "" : `US$${(micro / MICRO).toFixed(2)}`);

const HOURS_OF_A_DAY = 24;

/** "once in 8 h" says more than "0.125". */
export function hazard(perHour: number): string {
  if (!(perHour > 0)) return "never yet";
  const hours = 1 / perHour;
  if (hours < 1) return `${perHour.toFixed(1)} an hour`;
  if (hours < HOURS_OF_A_DAY * 2) return `once in ${Math.round(hours)} h`;
  return `once in ${Math.round(hours / HOURS_OF_A_DAY)} days`;
}
