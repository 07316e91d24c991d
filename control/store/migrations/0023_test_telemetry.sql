-- Where synthetic measurements (probes of routes) may be made: on, unless it was switched off for the cluster, an organization or
-- a node. A row is the newest switch of a place; it grants nothing to anybody, so it carries no MAC.

create table test_telemetry (
  cluster_id text not null references cluster (id),
  kind text not null check (kind in ('cluster', 'organization', 'node')),
  -- Of the organization or node; empty for the cluster.
  subject_id text not null,
  enabled boolean not null,
  changed_at_ms bigint not null default now_ms(),
  changed_by text not null,
  primary key (cluster_id, kind, subject_id)
);
