-- What is seen of certificates in use, and of clocks. Observations: none of it carries a MAC, nothing is decided by it.

-- Where and when a renewed certificate was first used: evidence for when the one before it is used again.
alter table certificate add column first_used_from text not null default '';
alter table certificate add column first_used_at_ms bigint;

-- Certificates that were used after another had taken their place: two hosts hold what one should.
create table leaf_reuse (
  issuer_key_id text not null,
  serial text not null,
  -- Empty: an operator's, of the whole installation.
  cluster_id text not null,
  subject_kind text not null,
  subject_id text not null,
  -- Until when the certificate could act at all, by its dates.
  not_after_ms bigint not null,
  superseded_at_ms bigint not null,
  used_from text not null,
  first_at_ms bigint not null default now_ms(),
  last_at_ms bigint not null default now_ms(),
  times bigint not null default 1,
  primary key (issuer_key_id, serial)
);
create index leaf_reuse_cluster on leaf_reuse (cluster_id, last_at_ms);

-- How fast a node's clock goes compared with the store's, parts per million, as the node measures it; null: not measured yet.
alter table beat_latest add column drift_ppm double precision;

-- The clock of each replica of control against the store's, as the replica measured it last.
create table replica_clock (
  replica_id text primary key,
  offset_ms double precision not null,
  uncertain_ms double precision not null,
  measured_at_ms bigint not null default now_ms()
);
