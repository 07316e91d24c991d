-- Who held what: one row per fence ever given out, kept beyond the tenure it was given for. Renewals are a count in it.
-- The primary key is LAW-F1 once more: the same fence of a lease cannot be given out twice.

create table lease_tenure (
  cluster_id text not null references cluster (id),
  name text not null,
  fence_epoch bigint not null,
  fence_counter bigint not null,
  -- Both empty: an operator took the lease; nobody holds under this fence.
  holder_node_id text not null,
  boot_id text not null,
  acquired_at_ms bigint not null default now_ms(),
  expires_at_ms bigint not null,
  renewed_count bigint not null default 0,
  -- 0: never.
  renewed_at_ms bigint not null default 0,
  -- Empty: the newest tenure, whether it has expired or not.
  ended text not null default '' check (ended in ('', 'released', 'expired', 'fenced', 'superseded')),
  ended_at_ms bigint not null default 0,
  -- The operator of a fence.
  ended_by text not null default '',
  primary key (cluster_id, name, fence_epoch, fence_counter)
);

insert into lease_tenure (cluster_id, name, fence_epoch, fence_counter, holder_node_id, boot_id, acquired_at_ms, expires_at_ms)
  select cluster_id, name, fence_epoch, fence_counter, holder_node_id, boot_id, acquired_at_ms, expires_at_ms from lease;

-- Not 0: one entry at a time may open channels to the resource, under a lease of this length. Covered by the row's MAC.
alter table resource add column exclusive_lease_ms bigint not null default 0 check (exclusive_lease_ms >= 0);

-- What snapshots read: operators' fences only.
create index lease_tenure_fenced on lease_tenure (cluster_id, name) where holder_node_id = '';
