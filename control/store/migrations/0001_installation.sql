-- The installation itself, its authorities, the audit chain. Times are milliseconds since the Unix epoch (bigint, `_ms`).
-- Hashes, key ids and serials that are compared are lower-case hex text. `mac` columns authenticate a row with a key that
-- is not in the database.

create function now_ms() returns bigint language sql volatile parallel safe
  as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create table installation (
  only_row boolean primary key default true check (only_row),
  trust_domain text not null,
  -- Grows with every restore from a backup: the first half of every fence and of every snapshot version.
  epoch bigint not null default 1 check (epoch >= 1),
  -- 'production' or 'dev'.
  mode text not null default 'production' check (mode in ('production', 'dev')),
  public_key_spki bytea not null,
  sealed_key bytea not null,
  sealing_key_id text not null,
  created_at_ms bigint not null default now_ms(),
  mac bytea not null
);

-- Certificate authorities. `scope` is a cluster id, or 'installation' for the operator root.
create table authority (
  scope text not null,
  kind text not null check (kind in ('node', 'control', 'client', 'pool', 'operator')),
  generation bigint not null check (generation >= 1),
  -- 'active' signs, 'next' is only trusted, 'old' is still trusted, 'dropped' is neither.
  status text not null default 'active' check (status in ('active', 'next', 'old', 'dropped')),
  key_id text not null unique,
  certificate_der bytea not null,
  sealed_key bytea not null,
  not_before_ms bigint not null,
  not_after_ms bigint not null,
  created_at_ms bigint not null default now_ms(),
  mac bytea not null,
  primary key (scope, kind, generation)
);
create unique index authority_one_active on authority (scope, kind) where status = 'active';

-- Keys that sign snapshots and feeds, each certified by the installation key.
create table signing_key (
  cluster_id text not null,
  purpose text not null check (purpose in ('snapshot', 'feed')),
  generation bigint not null check (generation >= 1),
  status text not null default 'active' check (status in ('active', 'old')),
  key_id text not null unique,
  public_key_spki bytea not null,
  sealed_key bytea not null,
  statement bytea not null,
  statement_signature bytea not null,
  not_before_ms bigint not null,
  not_after_ms bigint not null,
  created_at_ms bigint not null default now_ms(),
  mac bytea not null,
  primary key (cluster_id, purpose, generation)
);
create unique index signing_key_one_active on signing_key (cluster_id, purpose) where status = 'active';

-- One chain for the installation. Its head is locked for the length of an append, which orders the writers.
create table audit_head (
  only_row boolean primary key default true check (only_row),
  seq bigint not null,
  hash bytea not null
);
insert into audit_head (seq, hash) values (0, decode(repeat('00', 32), 'hex'));

create table audit (
  seq bigint primary key check (seq >= 1),
  at_ms bigint not null,
  actor text not null,
  cluster_id text not null default '',
  organization_id text not null default '',
  action text not null,
  object text not null,
  -- JSON, as hashed.
  before_json text not null default '',
  after_json text not null default '',
  result text not null,
  prev_hash bytea not null,
  hash bytea not null unique
);
create index audit_cluster on audit (cluster_id, seq);

-- Signed messages that may act once: their hash is inserted before they act.
create table seen_proof (
  proof_hash text primary key,
  expires_at_ms bigint not null
);
create index seen_proof_expiry on seen_proof (expires_at_ms);
