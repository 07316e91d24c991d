-- Appending to the audit chain in one call: the head is locked for one round trip and the commit, however many records a
-- change leaves. What is hashed is what fabric/audit/chain.ts hashes; control compares what comes back with its own.

create function audit_part(part bytea) returns bytea language sql immutable parallel safe
  as $$ select int4send(octet_length(part)) || part $$;

create function audit_text(part text) returns bytea language sql immutable parallel safe
  as $$ select int4send(octet_length(convert_to(part, 'UTF8'))) || convert_to(part, 'UTF8') $$;

create function append_audit(actors text[], clusters text[], organizations text[], actions text[], objects text[],
  befores text[], afters text[], results text[])
returns table (seq bigint, at_ms bigint, prev_hash bytea, hash bytea) language plpgsql volatile
as $$
declare
  head record;
  at bigint;
begin
  select h.seq, h.hash into head from audit_head h for update;
  if not found then raise exception 'the audit chain has no head'; end if;
  at := now_ms();
  for i in 1 .. cardinality(actors) loop
    seq := head.seq + 1;
    at_ms := at;
    prev_hash := head.hash;
    hash := sha256(convert_to('weft/audit/v1', 'UTF8') || '\x00'::bytea || audit_text(seq::text) || audit_text(at::text)
      || audit_text(actors[i]) || audit_text(clusters[i]) || audit_text(organizations[i]) || audit_text(actions[i])
      || audit_text(objects[i]) || audit_text(befores[i]) || audit_text(afters[i]) || audit_text(results[i])
      || audit_part(prev_hash));
    insert into audit (seq, at_ms, actor, cluster_id, organization_id, action, object, before_json, after_json, result,
      prev_hash, hash)
    values (seq, at, actors[i], clusters[i], organizations[i], actions[i], objects[i], befores[i], afters[i], results[i],
      prev_hash, hash);
    head.seq := seq;
    head.hash := hash;
    return next;
  end loop;
  update audit_head h set seq = head.seq, hash = head.hash;
end $$;
