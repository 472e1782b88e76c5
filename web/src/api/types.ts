// What the public API answers, as far as the web app reads it. Amounts are integer micro-credits
// (1 credit = 1,000,000), times RFC 3339 text, ids opaque text.

export interface Page<T> {
  items: T[];
  next?: string | null;
}

export interface User {
  id: string;
  email: string;
  name: string;
  staff: boolean;
}
export type Role = "owner" | "admin" | "member" | "viewer";
export interface Organisation {
  id: string;
  name: string;
  role: Role;
}
export interface Project {
  id: string;
  name: string;
}
export interface Me {
  user: User;
  organisations: Organisation[];
  organisation: Organisation | null;
  projects: Project[];
}
export interface Member {
  user_id: string;
  name: string;
  email: string;
  role: Role;
  joined_at: string;
}
export interface Invitation {
  id: string;
  email: string;
  role: Role;
  invited_by: string;
  created_at: string;
  expires_at: string;
}
export interface NewInvitation extends Invitation {
  token: string;
}
export interface ApiKey {
  id: string;
  name: string;
  prefix: string;
  user_id: string;
  scopes: string[];
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}
export interface NewApiKey extends ApiKey {
  key: string;
}

export type AssetState = "uploading" | "ready" | "rejected" | "deleted";
export interface Asset {
  id: string;
  state: AssetState;
  name: string;
  content_type: string;
  size_bytes: number;
  sha256?: string | null;
  width?: number | null;
  height?: number | null;
  duration_ms?: number | null;
  preview_url?: string | null;
  download_url?: string | null;
  run_id?: string | null;
  inputs: string[];
  rejected: { code: string; detail: string } | null;
  created_at: string;
}
export interface Upload {
  method: string;
  url: string;
  headers: Record<string, string>;
  expires_at: string;
}
export interface NewAsset {
  asset: Asset;
  upload: Upload;
}

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
  "x-ui"?: { widget?: string; order?: number; unit?: string; labels?: Record<string, string> };
}
export interface Tool {
  name: string;
  version: string;
  label: string;
  description: string;
  category: string;
  input_schema: JsonSchema;
}
export interface QuoteLine {
  label: string;
  amount_micro: number;
}
export interface Quote {
  price_micro: number;
  lines: QuoteLine[];
  run_ms: number;
  start_p50_ms: number;
  start_p90_ms: number;
  position: number;
  /** Whether any worker could run it. */
  possible: boolean;
  impossible_because: string | null;
  /** Whether the mandate and the credits allow it. */
  allowed: boolean;
  refused_code: string | null;
  refused_because: string | null;
  available_micro: number;
}

export type RunState =
  | "queued"
  | "running"
  | "canceling"
  | "succeeded"
  | "failed"
  | "canceled"
  | "refused"
  | "expired";
export type Phase =
  | "holding"
  | "submitting"
  | "queued"
  | "fetching"
  | "loading"
  | "running"
  | "uploading"
  | "finalising"
  | "settling"
  | "done";
export interface Failure {
  class: string;
  message: string;
  detail: string;
  charged_because: string;
  retry: "never" | "by_user" | "by_system" | null;
}
/** A picture or a clip that a run made; what is not known is 0. */
export interface OutputAsset {
  id: string;
  name: string;
  content_type: string;
  size_bytes: number;
  width: number;
  height: number;
  duration_ms: number;
}
export interface Run {
  id: string;
  tool: string;
  version: string;
  state: RunState;
  phase: Phase;
  progress: number;
  progress_note: string;
  position: number;
  start_p50_ms: number | null;
  start_p90_ms: number | null;
  input: Record<string, unknown>;
  price_micro: number;
  price_lines: QuoteLine[];
  held_micro: number;
  settled_micro: number | null;
  failure: Failure | null;
  outputs: OutputAsset[];
  job_id: string | null;
  project_id: string | null;
  mandate_id: string | null;
  created_at: string;
  started_at: string | null;
  cancel_requested_at: string | null;
  ended_at: string | null;
  settled_at: string | null;
}
export interface TimelineItem {
  at: string;
  system: string;
  what: string;
  detail: string;
}
export interface Timeline {
  run_id: string;
  items: TimelineItem[];
  cost: {
    price_micro: number;
    held_micro: number;
    settled_micro: number | null;
    compute_ms: number;
    cost_micro: number;
    absorbed_micro: number;
  };
  who_paid: string;
  why_failed: Failure | null;
  /** Systems that did not answer: their part is missing. */
  missing: string[];
}

export interface Grant {
  id: string;
  kind: string;
  label?: string;
  granted_micro: number;
  available_micro: number;
  held_micro: number;
  spent_micro: number;
  expires_at?: string | null;
  created_at: string;
}
export interface Balance {
  available_micro: number;
  held_micro: number;
  spent_micro: number;
  granted_micro: number;
  grants: Grant[];
}
export interface Plan {
  name: string;
  label: string;
  description: string;
  price_minor: number;
  currency: string;
  /** 0: it never ends. */
  period_days: number;
  sign_up_credits_micro: number;
  period_credits_micro: number;
}
export interface Subscription {
  plan: string;
  since?: string;
  renews_at?: string | null;
}
export interface Transaction {
  id: string;
  kind: string;
  amount_micro?: number;
  at: string;
  run_id?: string | null;
  reason?: string | null;
  sealed?: boolean;
}
export interface LedgerCheck {
  balanced: boolean;
  transactions: number;
  sealed_transactions: number;
  chain_verified: boolean;
  open_holds: number;
  problems: string[];
}

export interface Envelope {
  amount_micro: number;
  mode: "transfer" | "cap";
  period?: string | null;
  available_micro?: number;
  held_micro?: number;
  spent_micro?: number;
}
export interface Mandate {
  id: string;
  parent_id: string | null;
  grantor_id: string | null;
  grantee_id: string;
  grantee_name?: string;
  project_id: string | null;
  actions: string[];
  tools: string[] | null;
  max_unit_price_micro: number | null;
  envelope: Envelope | null;
  depth_max: number;
  expires_at: string | null;
  state: string;
  purpose: string;
  created_at: string;
  children?: Mandate[];
}

export interface Worker {
  id: string;
  gpus: number;
  memory_mib: number;
  resident: string[];
  job_id: string | null;
  model: string | null;
  phase: Phase | null;
  progress: number | null;
}
export interface Agent {
  id: string;
  name: string;
  region: string;
  connected: boolean;
  draining: boolean;
  last_seen_at: string | null;
  workers: Worker[];
}
export interface QueueRow {
  tenant: string;
  model: string;
  queued: number;
  oldest_ms: number;
}
export interface Fleet {
  agents: Agent[];
  queues: QueueRow[];
  epoch: number;
}

export interface MetricSummary {
  name: string;
  label: string;
  description: string;
  type: string;
  unit: string;
}
export interface MetricPoint {
  date: string;
  value: number | null;
  numerator?: number | null;
  denominator?: number | null;
  parts?: MetricPart[];
  complete: boolean;
}
export interface MetricPart {
  name: string;
  label: string;
  value: number | null;
}
export interface MetricDefinition {
  name: string;
  label: string;
  description: string;
  type: string;
  unit: string;
  version: number;
  [more: string]: unknown;
}
export interface Metric {
  definition: MetricDefinition;
  definition_yaml: string;
  inputs: MetricDefinition[];
  sql: string;
  from: string;
  to: string;
  points: MetricPoint[];
  total: number | null;
  total_detail: { meaning: string; numerator?: number | null; denominator?: number | null; parts?: MetricPart[] };
  excluded: { staff: number; service: number; events?: number };
  as_of: string;
  rows_url?: string;
}
export type Row = Record<string, unknown>;
export interface MetricRows {
  items: Row[];
  next: string | null;
  sql: string;
}
