-- Nodes, what they may do, who may no longer act.

create table node (
  id text primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null default '',
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  identity_status text not null default 'active' check (identity_status in ('active', 'revoked')),
  -- SHA-256 of the enrolled key's SPKI; follows renewals to another key.
  key_hash text not null,
  -- The DNS label links to this node use; changed on suspicion.
  link_label text not null unique,
  -- [{"host": "...", "port": 1}], as approved.
  addresses jsonb not null default '[]',
  dial_out_only boolean not null default false,
  region text not null default '',
  capabilities text[] not null default '{}',
  trust_level integer not null default 0 check (trust_level between 0 and 100),
  request_id text references join_request (id),
  joined_at_ms bigint not null default now_ms(),
  revoked_at_ms bigint,
  revoked_reason text not null default '',
  mac bytea not null,
  unique (cluster_id, name)
);

create table membership (
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  status text not null default 'active' check (status in ('active', 'disabled')),
  joined_at_ms bigint not null default now_ms(),
  changed_at_ms bigint not null default now_ms(),
  last_seen_at_ms bigint,
  mac bytea not null,
  primary key (cluster_id, node_id)
);

create table role_assignment (
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  role text not null,
  -- Empty: every organization of the cluster.
  organization_id text not null default '',
  assigned_at_ms bigint not null default now_ms(),
  assigned_by text not null,
  mac bytea not null,
  primary key (node_id, role, organization_id)
);
create index role_assignment_cluster on role_assignment (cluster_id, role);

-- Grow-only until `not_after_ms`. One row per cluster whose feed carries it.
create table revocation (
  id bigint generated always as identity primary key,
  cluster_id text not null references cluster (id),
  organization_id text not null default '',
  feed_epoch bigint not null,
  feed_seq bigint not null,
  -- A leaf: issuer key id and serial. A key: key_hash. Empty: not limited to it.
  issuer_key_id text not null default '',
  serial text not null default '',
  key_hash text not null default '',
  spiffe_id text not null,
  reason text not null default '',
  revoked_by text not null,
  revoked_at_ms bigint not null default now_ms(),
  not_after_ms bigint not null,
  mac bytea not null,
  unique (cluster_id, issuer_key_id, serial, key_hash, spiffe_id)
);
create index revocation_feed on revocation (cluster_id, not_after_ms);
