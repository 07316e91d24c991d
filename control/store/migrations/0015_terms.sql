-- Terms: which primary each epoch of the installation was met on. One row per term; rows are never changed or deleted.

create table term (
  epoch bigint primary key check (epoch >= 1),
  -- PostgreSQL's name of the database system, and the timeline of the primary the term began on.
  system_identifier text not null,
  timeline bigint not null check (timeline >= 1),
  -- 'first', 'restored', 'promoted' or 'moved'.
  reason text not null check (reason in ('first', 'restored', 'promoted', 'moved')),
  -- The first audit record that belongs to the term.
  first_seq bigint not null check (first_seq >= 1),
  began_at_ms bigint not null default now_ms(),
  mac bytea not null
);

create function current_term() returns bigint language sql stable
  as $$ select coalesce((select epoch from installation), 1) $$;

-- A trust record carries the term it was made in, and after a change of what it vouches for, the term of that change.
create function stamp_term() returns trigger language plpgsql
  as $$ begin new.term = current_term(); return new; end $$;

alter table authority add column term bigint not null default current_term();
alter table signing_key add column term bigint not null default current_term();
alter table identity add column term bigint not null default current_term();
alter table certificate add column term bigint not null default current_term();
alter table join_token add column term bigint not null default current_term();
alter table join_request add column term bigint not null default current_term();
alter table node add column term bigint not null default current_term();
alter table membership add column term bigint not null default current_term();
alter table role_assignment add column term bigint not null default current_term();
alter table revocation add column term bigint not null default current_term();
alter table pool add column term bigint not null default current_term();
alter table pool_node add column term bigint not null default current_term();
alter table resource add column term bigint not null default current_term();
alter table listener add column term bigint not null default current_term();
alter table qos_policy add column term bigint not null default current_term();
alter table route_intent add column term bigint not null default current_term();

create trigger authority_term before update of mac on authority for each row execute function stamp_term();
create trigger signing_key_term before update of mac on signing_key for each row execute function stamp_term();
create trigger identity_term before update of mac on identity for each row execute function stamp_term();
create trigger certificate_term before update of mac on certificate for each row execute function stamp_term();
create trigger join_token_term before update of used_count, revoked_at_ms on join_token
  for each row execute function stamp_term();
create trigger join_request_term before update of state on join_request for each row execute function stamp_term();
create trigger node_term before update of mac on node for each row execute function stamp_term();
create trigger membership_term before update of mac on membership for each row execute function stamp_term();
create trigger role_assignment_term before update of mac on role_assignment for each row execute function stamp_term();
create trigger pool_term before update of mac on pool for each row execute function stamp_term();
create trigger pool_node_term before update of mac on pool_node for each row execute function stamp_term();
create trigger resource_term before update of mac on resource for each row execute function stamp_term();
create trigger listener_term before update of mac on listener for each row execute function stamp_term();
create trigger qos_policy_term before update of mac on qos_policy for each row execute function stamp_term();
create trigger route_intent_term before update of mac on route_intent for each row execute function stamp_term();
