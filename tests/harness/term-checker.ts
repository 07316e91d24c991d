/**
 * Reads a store as it was left and proves from its rows alone that every trust record was made in a term that there was, on
 * that term's primary, in the order of the audit chain.
 *
 * T1. Terms are authentic, one after the other, each begun by an audit record of its own; a promotion's timeline is higher.
 * T2. The audit chain is whole. A record belongs to the newest term that began at or before it.
 * T3. Every trust row carries a term there was; every certificate, the term in which its serial first got into the chain, or a
 *     later one in which it was changed; every revocation, the term of the feed it was put into; no fence is above the terms.
 */

import { verifyAudit } from "../../control/store/audit.ts";
import type { Sql } from "../../control/store/sql.ts";
import { listTerms, type TermRow } from "../../control/store/terms.ts";
import type { TrustSeal } from "../../control/store/trust.ts";

const stampedTables = [
  "authority",
  "signing_key",
  "identity",
  "certificate",
  "join_token",
  "join_request",
  "node",
  "membership",
  "role_assignment",
  "revocation",
  "pool",
  "pool_node",
  "resource",
  "listener",
  "qos_policy",
  "route_intent",
  "offline_policy",
  "rotation",
  "rotation_exemption",
  "retired_signing_key",
] as const;

export interface TermFindings {
  /** What is wrong; empty when nothing is. */
  readonly wrong: readonly string[];
  readonly terms: number;
  readonly records: number;
  readonly rows: number;
}

interface AuditText {
  readonly seq: number;
  readonly action: string;
  readonly object: string;
  readonly after: string;
}

export async function checkTerms(sql: Sql, seal: TrustSeal): Promise<TermFindings> {
  const wrong: string[] = [];
  const terms = await listTerms(sql, seal);
  const audit = await sql.query<AuditText>(`select seq, action, object, after_json as after from audit order by seq`);
  const verdict = await verifyAudit(sql);
  if (!verdict.ok) wrong.push("the audit chain is not whole");
  wrong.push(...wrongTerms(terms, audit));
  const newest = terms.at(-1)?.epoch ?? 0;
  const [installation] = await sql.query<{ epoch: number }>("select epoch from installation");
  if (installation?.epoch !== newest) wrong.push(`the epoch is ${installation?.epoch}, the newest term ${newest}`);
  let rows = 0;
  for (const table of stampedTables) {
    const counted = await sql.query<{ term: number; count: number }>(
      `select term, count(*) as count from ${table} group by term`,
    );
    for (const { term, count } of counted) {
      rows += count;
      if (!terms.some(({ epoch }) => epoch === term)) wrong.push(`${count} rows of ${table} are of term ${term}`);
    }
  }
  wrong.push(...(await wrongRows(sql, terms, audit)));
  return { wrong, terms: terms.length, records: audit.length, rows };
}

function termAt(terms: readonly TermRow[], seq: number): number {
  return terms.findLast(({ firstSeq }) => firstSeq <= seq)?.epoch ?? 0;
}

function wrongTerms(terms: readonly TermRow[], audit: readonly AuditText[]): string[] {
  const wrong: string[] = [];
  terms.forEach((term, at) => {
    const before = terms[at - 1];
    const began = audit.filter(({ action, object }) => action === "term.began" && object === `term/${term.epoch}`);
    if (began.length !== 1) wrong.push(`term ${term.epoch} began ${began.length} times`);
    if (before === undefined) return;
    if (term.epoch <= before.epoch) wrong.push(`term ${term.epoch} follows term ${before.epoch}`);
    if (began[0]?.seq !== term.firstSeq || term.firstSeq <= before.firstSeq)
      wrong.push(`term ${term.epoch} does not begin with its own record`);
    if (term.reason === "promoted" && term.timeline <= before.timeline)
      wrong.push(`term ${term.epoch} is of timeline ${term.timeline}, after ${before.timeline}`);
  });
  return wrong;
}

async function wrongRows(sql: Sql, terms: readonly TermRow[], audit: readonly AuditText[]): Promise<string[]> {
  const wrong: string[] = [];
  const firstMention = new Map<string, number>();
  for (const { seq, after } of audit) {
    const [, serial] = /"serial":"([0-9a-f]+)"/.exec(after) ?? [];
    if (serial !== undefined && !firstMention.has(serial)) firstMention.set(serial, seq);
  }
  const certificates = await sql.query<{ serial: string; term: number }>("select serial, term from certificate");
  for (const { serial, term } of certificates) {
    const seq = firstMention.get(serial);
    if (seq === undefined) wrong.push(`certificate ${serial} is in no audit record`);
    else if (term < termAt(terms, seq)) wrong.push(`certificate ${serial} of term ${term} was recorded later`);
  }
  const revocations = await sql.query<{ term: number; epoch: number }>(
    "select term, feed_epoch as epoch from revocation where term <> feed_epoch",
  );
  for (const { term, epoch } of revocations) wrong.push(`a revocation of term ${term} is in a feed of ${epoch}`);
  const fences = await sql.query<{ name: string }>("select name from lease where fence_epoch > current_term()");
  for (const { name } of fences) wrong.push(`the fence of ${name} is of a term to come`);
  return wrong;
}
