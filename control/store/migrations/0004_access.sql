-- What organizations may ask for: pools, resources, listeners.

create table pool (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null references organization (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  created_at_ms bigint not null default now_ms(),
  mac bytea not null,
  unique (cluster_id, organization_id, name)
);

create table pool_node (
  pool_id text not null references pool (id),
  node_id text not null references node (id),
  cluster_id text not null references cluster (id),
  organization_id text not null default '',
  added_at_ms bigint not null default now_ms(),
  added_by text not null,
  mac bytea not null,
  primary key (pool_id, node_id)
);

create table resource (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null references organization (id),
  pool_id text not null references pool (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  kind text not null check (kind in ('tcp', 'message')),
  service text not null default '',
  default_class text not null check (default_class in ('bulk', 'interactive', 'droppable')),
  allowed_classes text[] not null default '{}',
  minimum_assurance text not null default 'anonymous' check (minimum_assurance in ('anonymous', 'entry-asserted', 'proved')),
  host text not null default '',
  port integer not null default 0 check (port between 0 and 65535),
  unix_path text not null default '',
  created_at_ms bigint not null default now_ms(),
  created_by text not null default '',
  removed_at_ms bigint,
  mac bytea not null
);
create unique index resource_name on resource (cluster_id, organization_id, name) where removed_at_ms is null;

create table listener (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null references organization (id),
  resource_id text not null references resource (id),
  entry_node_id text not null references node (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  bind_host text not null default '127.0.0.1',
  bind_port integer not null default 0 check (bind_port between 0 and 65535),
  allowed_sources text[] not null default '{}',
  created_at_ms bigint not null default now_ms(),
  created_by text not null default '',
  removed_at_ms bigint,
  mac bytea not null
);
create unique index listener_name on listener (cluster_id, organization_id, name) where removed_at_ms is null;
create unique index listener_socket on listener (entry_node_id, bind_host, bind_port) where removed_at_ms is null and bind_port <> 0;

create table qos_policy (
  cluster_id text not null references cluster (id),
  class text not null check (class in ('bulk', 'interactive', 'droppable')),
  priority integer not null,
  rate_bytes_per_second bigint not null default 0,
  burst_bytes bigint not null default 0,
  primary key (cluster_id, class)
);

create table route_intent (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null default '',
  source text not null,
  destination text not null,
  service_class text not null default '',
  direct boolean not null default false,
  policy jsonb not null default '{}',
  expires_at_ms bigint
);
create index route_intent_cluster on route_intent (cluster_id);
