-- Offline policies as operators set them: one per place, the most specific counts. The cluster's default is a row like the
-- others. Its columns of before (cluster.offline_mode, cluster.continue_for_ms), which nothing ever wrote to and no MAC covers,
-- stay for replicas of the version before that are still running; nothing reads them any more.

create table offline_policy (
  id text primary key,
  cluster_id text not null references cluster (id),
  -- Empty: the whole cluster.
  organization_id text not null default '',
  -- Empty: everything of the organization or cluster.
  resource_id text not null default '',
  mode text not null check (mode in ('continue', 'continue-for', 'existing-only', 'fail-closed')),
  -- 0: the default, or of no meaning in this mode.
  continue_for_ms bigint not null check (continue_for_ms >= 0),
  grace_ms bigint not null check (grace_ms >= 0),
  changed_at_ms bigint not null default now_ms(),
  changed_by text not null,
  mac bytea not null,
  unique (cluster_id, organization_id, resource_id)
);

-- Trust records carry the term they were made in, and after a change, the term of that change (0015).
alter table offline_policy add column term bigint not null default current_term();
alter table rotation add column term bigint not null default current_term();
alter table rotation_exemption add column term bigint not null default current_term();
alter table retired_signing_key add column term bigint not null default current_term();

create trigger offline_policy_term before update of mac on offline_policy for each row execute function stamp_term();
create trigger rotation_term before update of mac on rotation for each row execute function stamp_term();
create trigger rotation_exemption_term before update of mac on rotation_exemption
  for each row execute function stamp_term();
create trigger retired_signing_key_term before update of mac on retired_signing_key
  for each row execute function stamp_term();
