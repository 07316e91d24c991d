-- Rotation of authorities and of signing keys. Phases and what they mean are in control/domain/rotation-phases.ts.

create table rotation (
  id text primary key,
  -- A cluster id, or 'installation' for the operator root.
  scope text not null,
  kind text not null check (kind in ('node', 'control', 'client', 'pool', 'operator')),
  phase text not null check (phase in
    ('publish', 'sign', 'taint', 'drop', 'restore', 'revert', 'withdraw', 'done', 'rolled-back')),
  manual boolean not null,
  old_key_id text not null,
  next_key_id text not null,
  -- {"<cluster id>": version}: the trust bundle of each cluster that this phase needs acknowledged. JSON, as MACed.
  required text not null,
  started_by text not null,
  started_at_ms bigint not null default now_ms(),
  phase_since_ms bigint not null default now_ms(),
  ended_at_ms bigint,
  mac bytea not null
);
create unique index rotation_one_open on rotation (scope, kind) where ended_at_ms is null;
create index rotation_started on rotation (started_at_ms);

-- Whom one rotation does not wait for.
create table rotation_exemption (
  rotation_id text not null references rotation (id),
  subject_id text not null,
  subject_name text not null,
  reason text not null,
  exempted_by text not null,
  at_ms bigint not null default now_ms(),
  mac bytea not null,
  primary key (rotation_id, subject_id)
);

-- The newest trust bundle each node has acknowledged, with what proves it.
create table bundle_ack (
  cluster_id text not null,
  node_id text not null,
  bundle_version bigint not null,
  bundle_hash bytea not null,
  signature bytea not null,
  -- The leaf whose key signed.
  certificate_der bytea not null,
  -- Key ids of tainted roots that connections there still rely on.
  tainted_in_use text[] not null,
  received_at_ms bigint not null default now_ms(),
  mac bytea not null,
  primary key (cluster_id, node_id)
);

-- Which bundle each control replica believes by, and whose leaf it shows. An observation: a replica that falls silent is
-- not waited for.
create table replica_trust (
  replica_id text not null,
  cluster_id text not null,
  bundle_version bigint not null,
  control_issuer_key_id text not null,
  seen_at_ms bigint not null default now_ms(),
  primary key (replica_id, cluster_id)
);

-- Signing keys that were replaced: in every trust bundle until their statement has run out.
create table retired_signing_key (
  key_id text primary key,
  cluster_id text not null,
  purpose text not null,
  refused_from_ms bigint not null,
  statement_not_after_ms bigint not null,
  mac bytea not null
);
create index retired_signing_key_cluster on retired_signing_key (cluster_id);
