-- What nodes report. Nothing here decides who may do what.

create table beat_latest (
  node_id text primary key references node (id),
  cluster_id text not null references cluster (id),
  boot_id text not null,
  seq bigint not null,
  sent_at_ms bigint not null,
  received_at_ms bigint not null,
  load double precision not null,
  draining boolean not null,
  skew_ms double precision not null default 0,
  round_trip_ms double precision not null default 0,
  snapshot_epoch bigint not null,
  snapshot_version bigint not null,
  feed_epoch bigint not null,
  feed_seq bigint not null,
  capabilities text[] not null default '{}',
  version text not null default '',
  operator_address text not null default '',
  audit_seq bigint not null default 0,
  audit_hash bytea,
  -- [{"listenerId": "...", "boundAddress": "...", "error": "..."}]
  listeners jsonb not null default '[]',
  health text not null default 'online'
);
create index beat_latest_cluster on beat_latest (cluster_id);

create table beat_log (
  id bigint generated always as identity primary key,
  node_id text not null,
  cluster_id text not null,
  boot_id text not null,
  seq bigint not null,
  received_at_ms bigint not null,
  load double precision not null,
  draining boolean not null,
  skew_ms double precision not null,
  snapshot_epoch bigint not null,
  snapshot_version bigint not null,
  feed_seq bigint not null,
  version text not null default ''
);
create index beat_log_node on beat_log (node_id, received_at_ms);
create index beat_log_age on beat_log (received_at_ms);

create table link_sample (
  cluster_id text not null references cluster (id),
  from_node_id text not null references node (id),
  to_node_id text not null references node (id),
  rtt_ms double precision,
  jitter_ms double precision,
  loss_share double precision,
  reliability_share double precision,
  bandwidth_bytes_per_second double precision,
  recent_failures double precision,
  measured_at_ms bigint not null,
  primary key (from_node_id, to_node_id)
);
create index link_sample_cluster on link_sample (cluster_id);

create table workload_report (
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  name text not null,
  role text not null default '',
  state text not null,
  reason text not null default '',
  version text not null default '',
  reported_at_ms bigint not null default now_ms(),
  primary key (node_id, name)
);
