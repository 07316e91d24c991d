-- A payload is made again from rows wherever it is asked for. What has to be kept of it is what two replicas could disagree
-- about: the audit head they read, and the hash by which they see that they agree on everything else.

drop table snapshot_payload;
create table snapshot_payload (
  cluster_id text not null references cluster (id),
  node_id text not null references node (id),
  epoch bigint not null,
  version bigint not null,
  -- SHA-256 of the payload that was built first.
  payload_hash bytea not null,
  -- The audit head in it.
  audit_seq bigint not null,
  audit_hash bytea not null,
  created_at_ms bigint not null default now_ms(),
  mac bytea not null,
  primary key (cluster_id, node_id, epoch, version)
);

-- Nothing is known any more of payloads that were sent: what is sent from now on has a version of its own.
update cluster set snapshot_version = snapshot_version + 1,
  snapshot_changed_at_ms = greatest(now_ms(), snapshot_changed_at_ms + 1);
