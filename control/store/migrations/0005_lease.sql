-- Leases. Rows are never deleted: the fence would start over.

create table lease (
  cluster_id text not null references cluster (id),
  organization_id text not null default '',
  name text not null,
  holder_node_id text not null,
  boot_id text not null,
  fence_epoch bigint not null,
  fence_counter bigint not null check (fence_counter >= 1),
  acquired_at_ms bigint not null default now_ms(),
  expires_at_ms bigint not null,
  primary key (cluster_id, name)
);
