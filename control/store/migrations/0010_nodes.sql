-- Nodes as operators watch them: alerts that open and close, groups, since when a node is as it is, and what became of what
-- was placed on it. Nothing here decides who may do what.

-- One row per thing that can be wrong: it opens, closes and opens again, so what flaps cannot make the table grow.
create table alert (
  -- Empty: the installation as a whole.
  cluster_id text not null default '',
  kind text not null,
  -- Kind and id of what it is about: "node/nd-...".
  object text not null check (length(object) between 1 and 256),
  detail text not null default '' check (length(detail) <= 500),
  opened_at_ms bigint not null default now_ms(),
  closed_at_ms bigint,
  first_opened_at_ms bigint not null default now_ms(),
  times_opened bigint not null default 1,
  primary key (cluster_id, kind, object)
);
create index alert_open on alert (cluster_id, object) where closed_at_ms is null;
create index alert_closed on alert (closed_at_ms) where closed_at_ms is not null;

-- A tree per cluster. Groups are for people: they grant nothing, and no snapshot shows them.
create table node_group (
  id text primary key,
  cluster_id text not null references cluster (id),
  -- Absent: a root of the tree.
  parent_id text,
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  created_at_ms bigint not null default now_ms(),
  created_by text not null,
  unique (cluster_id, name),
  unique (cluster_id, id),
  check (parent_id is distinct from id),
  foreign key (cluster_id, parent_id) references node_group (cluster_id, id)
);
create index node_group_parent on node_group (parent_id);

create table group_member (
  cluster_id text not null,
  node_id text not null,
  group_id text not null,
  assigned_at_ms bigint not null default now_ms(),
  assigned_by text not null,
  -- One group per membership.
  primary key (cluster_id, node_id),
  foreign key (cluster_id, node_id) references membership (cluster_id, node_id),
  foreign key (cluster_id, group_id) references node_group (cluster_id, id)
);
create index group_member_group on group_member (group_id);

alter table published_node add column health_since_ms bigint not null default now_ms();

-- What reconciliation decided about a node's placements; a node without a row keeps them.
create table placement_state (
  node_id text primary key references node (id),
  cluster_id text not null references cluster (id),
  state text not null check (state in ('waiting', 'fenced', 'nothing-new', 'reclaimed', 'orphaned')),
  since_ms bigint not null default now_ms()
);
create index placement_state_cluster on placement_state (cluster_id);
