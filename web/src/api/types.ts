// The names under which the web app uses what the public API answers. Their shapes are generated from the server's
// own description (schema.ts). Amounts are integer micro-credits (1 credit = 1,000,000), times RFC 3339 text.
import type { components } from "./schema";

type Schemas = components["schemas"];

/** The server always sends a field that it describes as nullable; the description calls such a field optional. */
export type Sent<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

/** The same with some fields said more exactly. A field that the server does not have is an error here. */
export type Exactly<T, P extends { [K in keyof P]: K extends keyof T ? unknown : never }> = Omit<T, keyof P> & P;

export interface Page<T> {
  items: T[];
  next?: string | null;
}

export type Me = Sent<Schemas["MeView"]>;
export type Organisation = Schemas["MeOrganisation"];
export type Project = Schemas["ProjectView"];
export type Role = Schemas["Role"];
export type Member = Schemas["Member"];
export type Invitation = Schemas["Invitation"];
export type NewInvitation = Schemas["NewInvitationView"];
export type ApiKey = Sent<Schemas["ApiKey"]>;
export type NewApiKey = Sent<Schemas["NewKeyView"]>;

export type Asset = Sent<Schemas["AssetBody"]>;
export type Upload = Schemas["TargetBody"];
export interface NewAsset {
  asset: Asset;
  upload: Upload;
}

/** The part of JSON Schema that manifests use. */
export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  format?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  oneOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  "x-asset"?: { content_types?: string[]; max_bytes?: number; max_pixels?: number };
  "x-ui"?: { widget?: string; order?: number; unit?: string; labels?: Record<string, string> };
}
/** What is wrong with the files of an extension, for whoever wrote it. */
export interface ExtensionProblem {
  message: string;
  file?: string | null;
  line?: number | null;
}
export interface Extension {
  name: string;
  /** The version that runs; null where none ever could. */
  version: string | null;
  problem: ExtensionProblem | null;
  updated_at: string;
}
export type Tool = Exactly<Schemas["ToolView"], { input: JsonSchema }> & {
  /** `builtin`, or where else it comes from. */
  source?: string;
  /** What is wrong with its files as they are now: this version is the last good one. */
  problem?: ExtensionProblem | null;
};
export type Quote = Sent<Schemas["QuoteView"]>;
export type RunState = Schemas["RunState"];
export type Run = Exactly<
  Sent<Schemas["RunView"]>,
  { input: Record<string, unknown>; failure: Failure | null; outputs: OutputAsset[] }
>;
export type Phase = Schemas["business_Phase"];
export type Failure = Sent<Schemas["business_Failure"]>;
export type OutputAsset = Sent<Schemas["OutputView"]>;
export type TimelineItem = Schemas["TimelineItem"];
export type Timeline = Exactly<
  Sent<Schemas["Timeline"]>,
  { failure: Failure | null; cost: Sent<Schemas["TimelineCost"]> }
>;

export type Balance = Schemas["BalanceJson"];
export type Plan = Schemas["Plan"];
export type Subscription = Sent<Schemas["SubscriptionJson"]>;
export type Transaction = Schemas["TransactionJson"];
export type Posting = Schemas["PostingJson"];
export type LedgerCheck = Schemas["LedgerJson"];
export type Envelope = Sent<Schemas["EnvelopeJson"]>;
export type Mandate = Exactly<Sent<Schemas["MandateJson"]>, { envelope: Envelope }>;
export type GiveMandate = Schemas["GiveBody"];

export type Fleet = Exactly<Schemas["Fleet"], { agents: Agent[] }>;
export type Agent = Exactly<Schemas["AgentView"], { workers: Worker[] }>;
export type Worker = Sent<Schemas["WorkerView"]>;
export type Pool = Schemas["PoolView"];
export type QueueRow = Schemas["QueueView"];

export type MetricSummary = Schemas["MetricSummary"];
export type Metric = Exactly<Sent<Schemas["Metric"]>, { points: MetricPoint[] }>;
export type MetricPart = Sent<Schemas["Part"]>;
export type MetricPoint = Exactly<Schemas["Point"], { value: number | null }>;
export type MetricRows = Exactly<Schemas["MetricRows"], { items: Row[] }>;
export type Row = Record<string, unknown>;
