import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { fleetQuery } from "../../api/queries";
import type { Agent, Fleet, QueueRow, Worker } from "../../api/types";
import { LedgerStrip } from "../../app/LedgerStrip";
import { Page, Section } from "../../app/Page";
import { useSession } from "../../app/session";
import { count, duration } from "../../lib/format";
import { phaseWord } from "../../lib/phases";
import { Empty, Icon, Id, Loaded, Tag, uiCss, When } from "../../ui";
import { agentName } from "./agents";
import css from "./fleet.module.css";
import { Pools } from "./Pools";

/** Every region a lane, every worker a cell with what it holds and does; under it who waits for what. */
export default function FleetPage() {
  const { staff } = useSession();
  const fleet = useQuery(fleetQuery);
  return (
    <Page title="Fleet" wide lead={fleet.data ? summary(fleet.data) : "The machines that run the models."}>
      <Loaded of={fleet} waiting="Asking the scheduler…">
        {(data) => (
          <>
            {data.agents.length === 0 ? (
              <Empty title="No agent has connected">
                An agent is the program on a machine that runs models; it dials out to here. On one machine it starts
                with the studio. Elsewhere, run <code>backlot agent</code> with this server’s address and a join token.
              </Empty>
            ) : (
              regions(data.agents).map(([region, agents]) => <Lane key={region} region={region} agents={agents} />)
            )}
            <Pools pools={data.pools} />
            <Queue
              rows={data.queues}
              idle={data.agents.every((agent) => agent.workers.every((worker) => !worker.busy))}
            />
          </>
        )}
      </Loaded>
      {staff && (
        <div style={{ marginTop: 40 }}>
          <LedgerStrip />
        </div>
      )}
    </Page>
  );
}

function summary(fleet: Fleet): string {
  const workers = fleet.agents.flatMap((agent) => (agent.connected ? agent.workers : []));
  const busy = workers.filter((worker) => worker.busy).length;
  const queued = fleet.queues.reduce((sum, row) => sum + row.queued, 0);
  return `${count(workers.length)} ${workers.length === 1 ? "worker" : "workers"} connected, ${count(busy)} at work, ${count(queued)} ${queued === 1 ? "job waits" : "jobs wait"}. Epoch ${fleet.epoch}.`;
}

function regions(agents: Agent[]): [string, Agent[]][] {
  const lanes = new Map<string, Agent[]>();
  for (const agent of agents) lanes.set(agent.region, [...(lanes.get(agent.region) ?? []), agent]);
  return [...lanes].sort(([a], [b]) => a.localeCompare(b));
}

function Lane({ region, agents }: { region: string; agents: Agent[] }) {
  return (
    <section className={css.lane} aria-label={`Region ${region}`}>
      <h2>{region || "No region"}</h2>
      <div className={css.agents}>
        {agents.map((agent) => (
          <div key={agent.id} className={css.agent}>
            <h3>
              <span title={agent.name}>{agentName(agent.name)}</span> {agent.pool && <Tag>{agent.pool}</Tag>}{" "}
              <AgentState agent={agent} />
            </h3>
            <ul className={css.workers}>
              {agent.workers.map((worker) => (
                <Cell key={worker.id} worker={worker} connected={agent.connected} />
              ))}
            </ul>
          </div>
        ))}
      </div>
    </section>
  );
}

/** One's own organisation by its name; another is an id to the operator, of which the end is enough. */
function Tenant({ id }: { id: string }) {
  const { organisation } = useSession();
  if (id === organisation.id) return organisation.name;
  return id.length > TENANT_CHARS_MAX ? <Id value={id} /> : <code>{id}</code>;
}
const TENANT_CHARS_MAX = 24;

function AgentState({ agent }: { agent: Agent }) {
  if (!agent.connected)
    return (
      <Tag tone="bad">
        <Icon name="warn" size={12} /> cut off
        {agent.last_seen_at ? (
          <>
            , seen <When at={agent.last_seen_at} />
          </>
        ) : (
          ""
        )}
      </Tag>
    );
  if (agent.draining) return <Tag tone="live">draining: takes nothing new</Tag>;
  return (
    <Tag tone="good">
      <Icon name="check" size={12} /> connected
    </Tag>
  );
}

function Cell({ worker, connected }: { worker: Worker; connected: boolean }) {
  const memory = worker.memory_mib > 0 ? `${count(Math.round(worker.memory_mib / 1024))} GiB` : "";
  const measured = worker.busy && worker.phase === "running" && worker.progress > 0 ? worker.progress : null;
  const phase = worker.phase ? phaseWord(worker.phase) : "Assigned";
  return (
    <li className={css.cell} data-busy={worker.busy || undefined} data-off={!connected || undefined}>
      {measured !== null && <i className={css.fill} style={{ width: `${measured * 100}%` }} aria-hidden="true" />}
      <p className={css.cellHead}>
        <code>{worker.id}</code>
        <span>{[worker.gpus > 0 ? `${worker.gpus} GPU` : "CPU", memory].filter(Boolean).join(" · ")}</span>
      </p>
      <p className={css.doing}>
        {worker.busy ? (
          <>
            <b>
              {phase}
              {measured !== null ? ` ${Math.round(measured * 100)} %` : ""}
            </b>{" "}
            {worker.job_id ? (
              <Link to={`/runs/${worker.job_id}`}>{shortModel(worker.model)}</Link>
            ) : (
              <span>another tenant’s work</span>
            )}
          </>
        ) : (
          <span>{connected ? "Idle" : "Unknown"}</span>
        )}
      </p>
      <p className={css.resident}>
        {worker.resident.length > 0 ? `Loaded: ${worker.resident.map(shortModel).join(", ")}` : "Nothing loaded"}
      </p>
    </li>
  );
}

function Queue({ rows, idle }: { rows: QueueRow[]; idle: boolean }) {
  return (
    <Section title="Who waits for what">
      {rows.length === 0 ? (
        <p className={css.soft}>
          {idle ? "Nobody waits, and nothing runs." : "Nobody waits: everything that was accepted has a worker."}
        </p>
      ) : (
        <div className={uiCss.scroll}>
          <table className={uiCss.table}>
            <thead>
              <tr>
                <th>Tenant</th>
                <th>Model</th>
                <th className={uiCss.num}>Waiting</th>
                <th className={uiCss.num}>The oldest for</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={`${row.tenant} ${row.model}`}>
                  <td>
                    <Tenant id={row.tenant} />
                  </td>
                  <td>{row.model}</td>
                  <td className={uiCss.num}>{count(row.queued)}</td>
                  <td className={uiCss.num}>{duration(row.oldest_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

/** "backlot/upscale:1" reads "upscale:1": the owner is the same nearly everywhere. */
function shortModel(model: string): string {
  return model.replace(/^backlot\//, "");
}
