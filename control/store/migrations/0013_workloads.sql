-- What operators want nodes to run beside their roles, and more of what nodes report about it.

create table workload (
  id text primary key,
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  -- False: it is to be stopped, and kept.
  running boolean not null,
  -- How it is run (control/domain/workload-spec.ts).
  spec jsonb not null,
  -- The spec that somebody approved host privileges for, by its fingerprint, and who; empty: none.
  privileges_fingerprint text not null default '',
  privileges_by text not null default '',
  changed_at_ms bigint not null default now_ms(),
  changed_by text not null,
  mac bytea not null,
  unique (cluster_id, node_id, name)
);
create index workload_node on workload (node_id);

alter table workload_report add column kind text not null default 'builtin';
alter table workload_report add column restarts bigint not null default 0;
alter table workload_report add column fingerprint text not null default '';
