-- What nodes have signed about the revocation feed: the newest receipt of each. No MAC: the node's signature is kept with
-- it, and nothing but lists and alerts is decided by it.

create table feed_receipt (
  node_id text primary key references node (id),
  cluster_id text not null references cluster (id),
  boot_id text not null,
  feed_epoch bigint not null,
  feed_seq bigint not null,
  -- Hex; one position has one content.
  content_hash text not null,
  applied_at_ms bigint not null,
  received_at_ms bigint not null default now_ms(),
  revocations bigint not null,
  forks bigint not null,
  forked_epoch bigint not null,
  forked_seq bigint not null,
  -- Hex; empty: nothing contradicts.
  forked_hash text not null,
  overflowing boolean not null,
  -- As received, with the hash of the key that signed.
  statement bytea not null,
  signature bytea not null,
  key_hash text not null
);
create index feed_receipt_cluster on feed_receipt (cluster_id);

-- Lists of leaves, newest first.
create index certificate_issued on certificate (scope, issued_at_ms desc);
