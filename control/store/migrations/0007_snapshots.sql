-- What snapshots are built from besides the rows an operator edits, and the bytes that were built.

alter table cluster
  add column offline_mode text not null default 'continue-for'
    check (offline_mode in ('continue', 'continue-for', 'existing-only', 'fail-closed')),
  add column continue_for_ms bigint not null default 28800000 check (continue_for_ms > 0),
  -- When (snapshot_epoch, snapshot_version) was reached: the issue time every snapshot of that version carries.
  add column snapshot_changed_at_ms bigint not null default now_ms(),
  add column graph_refreshed_at_ms bigint not null default 0,
  -- Since when some replica has looked at beats without a gap: silence before that is nobody's fault.
  add column listening_since_ms bigint not null default now_ms();

-- Measurements as snapshots show them: written only together with a new snapshot version, never by a report itself.
create table published_link (
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
create index published_link_cluster on published_link (cluster_id);

create table published_node (
  node_id text primary key references node (id),
  cluster_id text not null references cluster (id),
  -- Absent until a first beat.
  load double precision,
  health text not null check (health in ('online', 'stale', 'draining', 'offline', 'missing'))
);
create index published_node_cluster on published_node (cluster_id);

-- The first payload built for a node and a version is the only one: whichever replica asks later reads these bytes.
create table snapshot_payload (
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  epoch bigint not null,
  version bigint not null,
  payload bytea not null,
  created_at_ms bigint not null default now_ms(),
  -- What is kept is signed as it is: it has to be control's own.
  mac bytea not null,
  primary key (cluster_id, node_id, epoch, version)
);
