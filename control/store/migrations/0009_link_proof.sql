-- What one end of a link last said about its reachability. Measurements of links that answer are in link_sample; this tells
-- also of links that never did.

create table link_proof (
  cluster_id text not null references cluster (id),
  from_node_id text not null references node (id),
  to_node_id text not null references node (id),
  state text not null check (state in ('up', 'dialing', 'waiting', 'draining')),
  reverse boolean not null,
  -- 0: never.
  last_success_at_ms bigint not null,
  -- A class, never an address or a message; empty: none.
  last_failure text not null default '',
  last_failure_at_ms bigint not null default 0,
  reported_at_ms bigint not null default now_ms(),
  primary key (from_node_id, to_node_id)
);
create index link_proof_cluster on link_proof (cluster_id);
