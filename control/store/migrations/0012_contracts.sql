-- Contracts: the key that signs them, resources that demand one, and the leases of service channels.

alter table signing_key drop constraint signing_key_purpose_check;
alter table signing_key add constraint signing_key_purpose_check check (purpose in ('snapshot', 'feed', 'contract'));

-- Channels to the resource need the contract of a service-channel lease. Covered by the row's MAC.
alter table resource add column requires_lease boolean not null default false;

create table service_lease (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null references organization (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  resource_id text not null references resource (id),
  -- Empty: any client of the organization.
  client_id text not null default '',
  entry_node_id text not null references node (id),
  service_class text not null,
  -- Empty: any class that the resource allows.
  channel_class text not null default '' check (channel_class in ('', 'bulk', 'interactive', 'droppable')),
  -- Empty: whichever pool the resource has.
  pool_id text not null default '',
  flow_isolation_id text not null default '',
  -- One per resource and epoch; an epoch that a restore has raised ends every lease from before it.
  fence_epoch bigint not null check (fence_epoch >= 1),
  fence_counter bigint not null check (fence_counter >= 1),
  created_at_ms bigint not null,
  created_by text not null,
  -- Of the newest contract.
  issued_at_ms bigint not null,
  not_after_ms bigint not null,
  maintained_count bigint not null default 0,
  -- The newest contract, signed and encoded, exactly as it was handed out.
  contract bytea not null,
  -- 0: not ended before its time.
  ended_at_ms bigint not null default 0,
  ended_by text not null default '',
  -- Empty with ended_at_ms 0: released by an operator, its client revoked, its resource removed.
  ended_why text not null default '' check (ended_why in ('', 'released', 'client-revoked', 'resource-removed')),
  mac bytea not null,
  unique (resource_id, fence_epoch, fence_counter)
);
create index service_lease_cluster on service_lease (cluster_id, name, id);
create index service_lease_client on service_lease (client_id) where ended_at_ms = 0;
create index service_lease_ended on service_lease (cluster_id, not_after_ms) where ended_at_ms > 0;
