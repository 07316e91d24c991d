-- QoS policies and route intents as operators set them. Their first tables were made ahead of time and nothing ever wrote to
-- them; they are made anew with what a policy and an intent need.

drop table if exists qos_policy;
drop table if exists route_intent;

create table qos_policy (
  id text primary key,
  cluster_id text not null references cluster (id),
  -- Empty: the whole cluster.
  organization_id text not null default '',
  -- Empty: everything of the organization or cluster.
  resource_id text not null default '',
  class text not null check (class in ('bulk', 'interactive', 'droppable')),
  priority integer not null check (priority between 1 and 64),
  -- 0: unlimited.
  rate_bytes_per_second bigint not null check (rate_bytes_per_second >= 0),
  -- 0: the default for the rate.
  burst_bytes bigint not null check (burst_bytes >= 0),
  changed_at_ms bigint not null default now_ms(),
  changed_by text not null,
  mac bytea not null,
  unique (cluster_id, organization_id, resource_id, class)
);

create table route_intent (
  id text primary key,
  cluster_id text not null references cluster (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  -- Empty: every organization.
  organization_id text not null default '',
  -- Empty: every entry.
  source_node_id text not null default '',
  -- At most one of the two; neither: everything.
  pool_id text not null default '',
  resource_id text not null default '',
  -- Empty: every class of service.
  service_class text not null default '',
  action text not null check (action in ('prefer', 'avoid', 'require-region', 'direct')),
  node_id text not null default '',
  region text not null default '',
  -- 0: until it is removed.
  expires_at_ms bigint not null default 0,
  created_at_ms bigint not null default now_ms(),
  created_by text not null,
  removed_at_ms bigint,
  mac bytea not null,
  check (pool_id = '' or resource_id = '')
);
create unique index route_intent_name on route_intent (cluster_id, name) where removed_at_ms is null;
create index route_intent_expiry on route_intent (expires_at_ms) where removed_at_ms is null and expires_at_ms > 0;
