-- Clusters, organizations, people's identities, every certificate ever issued.

create table cluster (
  id text primary key,
  slug text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
  name text not null,
  status text not null default 'active' check (status in ('active', 'disabled')),
  region text not null default '',
  metadata jsonb not null default '{}',
  created_at_ms bigint not null default now_ms(),
  -- What nodes see: grows with every change to it. The epoch is the installation's.
  snapshot_epoch bigint not null default 1,
  snapshot_version bigint not null default 1,
  -- The revocation feed: grows with every revocation.
  feed_epoch bigint not null default 1,
  feed_seq bigint not null default 0,
  -- The trust bundle: grows with every change of a root.
  bundle_version bigint not null default 1
);

create table organization (
  id text primary key,
  cluster_id text not null references cluster (id),
  name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  created_at_ms bigint not null default now_ms(),
  unique (cluster_id, name)
);

-- Operators (scope 'installation') and clients (scope = cluster id). Never deleted: revoked is a status.
create table identity (
  id text primary key,
  kind text not null check (kind in ('client', 'operator')),
  scope text not null,
  organization_id text not null default '',
  name text not null,
  status text not null default 'active' check (status in ('active', 'revoked')),
  key_hash text not null,
  created_at_ms bigint not null default now_ms(),
  created_by text not null,
  revoked_at_ms bigint,
  mac bytea not null,
  unique (scope, kind, name)
);
create index identity_scope on identity (scope, status);

-- The allowlist of leaves. 'next' becomes 'current' at first use, and what was 'current' then becomes 'superseded'.
create table certificate (
  issuer_key_id text not null,
  serial text not null,
  -- Cluster id, or 'installation' for operators.
  scope text not null,
  subject_kind text not null check (subject_kind in ('node', 'control', 'client', 'pool', 'operator')),
  -- Node, identity, pool or control replica id.
  subject_id text not null,
  -- Pool leaves: the egress node that holds it. Else equal to subject_id.
  holder_id text not null,
  spiffe text not null,
  key_hash text not null,
  certificate_der bytea not null,
  status text not null check (status in ('current', 'next', 'superseded', 'revoked')),
  issued_at_ms bigint not null default now_ms(),
  not_before_ms bigint not null,
  not_after_ms bigint not null,
  superseded_at_ms bigint,
  revoked_at_ms bigint,
  mac bytea not null,
  primary key (issuer_key_id, serial)
);
create index certificate_subject on certificate (scope, subject_kind, subject_id, status);
create index certificate_holder on certificate (scope, holder_id, status);
create index certificate_key on certificate (key_hash);
create unique index certificate_one_current on certificate (scope, subject_kind, subject_id, holder_id) where status = 'current';
create unique index certificate_one_next on certificate (scope, subject_kind, subject_id, holder_id) where status = 'next';

create table join_token (
  id text primary key,
  cluster_id text not null references cluster (id),
  -- SHA-256 of the secret under a domain string. The secret itself is nowhere.
  secret_hash text not null unique,
  roles text[] not null default '{}',
  organization_ids text[] not null default '{}',
  expires_at_ms bigint not null,
  max_uses integer not null check (max_uses >= 1),
  used_count integer not null default 0 check (used_count >= 0 and used_count <= max_uses),
  created_by text not null,
  created_at_ms bigint not null default now_ms(),
  revoked_at_ms bigint
);
create index join_token_cluster on join_token (cluster_id, created_at_ms);

create table join_request (
  id text primary key,
  cluster_id text not null references cluster (id),
  token_id text not null references join_token (id),
  key_hash text not null,
  csr bytea not null,
  node_name text not null,
  capabilities text[] not null default '{}',
  -- [{"role": "...", "organizationId": "..."}]
  requested_roles jsonb not null default '[]',
  -- [{"host": "...", "port": 1}]
  addresses jsonb not null default '[]',
  dial_out_only boolean not null default false,
  region text not null default '',
  facts jsonb not null default '{}',
  state text not null default 'pending' check (state in ('pending', 'approved', 'rejected', 'expired')),
  reason text not null default '',
  reviewer text not null default '',
  created_at_ms bigint not null default now_ms(),
  expires_at_ms bigint not null,
  reviewed_at_ms bigint,
  node_id text,
  unique (token_id, key_hash)
);
create index join_request_cluster on join_request (cluster_id, state, created_at_ms);
create index join_request_key on join_request (key_hash);
