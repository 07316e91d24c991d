-- What became of this store as a whole: restores, and a move to another one. None of it grants anything; the epoch that a
-- restore raises is in the authenticated row of the installation.

-- One row per restore, for ever. The newest one holds nodes back until it is settled (control/domain/restore-hold.ts).
create table store_restore (
  id text primary key,
  restored_at_ms bigint not null default now_ms(),
  taken_at_ms bigint not null,
  -- Where the backup stood.
  backup_epoch bigint not null,
  backup_audit_seq bigint not null,
  backup_audit_hash bytea not null,
  -- [{"clusterId": "...", "snapshotEpoch": 1, "snapshotVersion": 1, "feedEpoch": 1, "feedSeq": 0}]
  positions jsonb not null,
  -- The installation's since then.
  epoch bigint not null,
  settled_at_ms bigint,
  -- 'answered': every node that is waited for told what it held. 'waited': some did not within the bound. 'accepted': an
  -- operator said so.
  settled_how text not null default '' check (settled_how in ('', 'answered', 'waited', 'accepted'))
);

-- What nodes know that a restored store does not. The newest report of each.
create table store_witness (
  restore_id text not null references store_restore (id),
  cluster_id text not null references cluster (id),
  -- No reference: nodes approved after the backup are not in the store.
  node_id text not null,
  -- 'returned': showed what it holds. 'unknown': came with a certificate of this installation that the store does not have.
  kind text not null check (kind in ('returned', 'unknown')),
  audit_seq bigint not null default 0,
  audit_hash bytea,
  snapshot_epoch bigint not null default 0,
  snapshot_version bigint not null default 0,
  feed_epoch bigint not null default 0,
  feed_seq bigint not null default 0,
  -- Revocations that were learned from it.
  learned_count bigint not null default 0,
  seen_at_ms bigint not null default now_ms(),
  primary key (restore_id, cluster_id, node_id, kind)
);

-- A store on its way: 'arriving' is not complete yet, 'departed' is where a move began and nothing may write any more.
create table store_move (
  only_row boolean primary key default true check (only_row),
  id text not null,
  direction text not null check (direction in ('arriving', 'departed')),
  -- The other store, for people: a host and a database, or a folder. Never a password.
  counterpart text not null,
  at_ms bigint not null default now_ms()
);
