/**
 * Terms. `installation.epoch` is the term: the first half of every fence, snapshot position and feed position.
 *
 * E1. A term belongs to one primary: whoever first meets another one than the newest term's (a promoted standby, a restored
 *     or moved database) raises the epoch, in one transaction with its row and its audit record, before this replica does
 *     anything else there. Two replicas that meet it at once raise it once.
 * E2. Terms only grow. A fence of an earlier term is below every fence of a later one, so what a lost primary may have given
 *     out last is never given out again.
 */

import { WeftError } from "../../lib/errors.ts";
import type { Hints } from "../hints/hints.ts";
import { appendAudit } from "./audit.ts";
import { raiseEpoch } from "./installation.ts";
import { isSamePrimary, type Primary } from "./primary.ts";
import { sweepRevocations } from "./revocations.ts";
import { refreshAgedSnapshots } from "./snapshots.ts";
import { one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface TermRow extends Primary {
  readonly epoch: number;
  readonly reason: "first" | "restored" | "promoted" | "moved";
  /** The first audit record of the term. */
  readonly firstSeq: number;
  readonly beganAtMs: number;
  readonly mac: Uint8Array;
}

export interface TermContext {
  readonly seal: TrustSeal;
  readonly hints: Hints;
}

const columns = `epoch, system_identifier as "systemIdentifier", timeline, reason, first_seq as "firstSeq",
  began_at_ms as "beganAtMs", mac`;

type NewTerm = Omit<TermRow, "beganAtMs" | "mac">;

export function macFields(row: NewTerm): MacField[] {
  return [row.epoch, row.systemIdentifier, row.timeline, row.reason, row.firstSeq];
}

/** Every term there was, oldest first, authenticated. */
export async function listTerms(q: Queryable, seal: TrustSeal): Promise<readonly TermRow[]> {
  const rows = await q.query<TermRow>(`select ${columns} from term order by epoch`);
  for (const row of rows) requireAuthentic(seal, "term", macFields(row), row.mac);
  return rows;
}

/** The newest term, authenticated; undefined before the first. */
export async function newestTerm(q: Queryable, seal: TrustSeal): Promise<TermRow | undefined> {
  const row = one(await q.query<TermRow>(`select ${columns} from term order by epoch desc limit 1`));
  if (row !== undefined) requireAuthentic(seal, "term", macFields(row), row.mac);
  return row;
}

interface Epoch {
  readonly epoch: number;
}

/**
 * Makes sure that the newest term is this primary's (E1); returns it, or undefined before `control init`. Errors of
 * `raiseEpoch`.
 */
export async function meetPrimary(tx: Tx, ctx: TermContext, primary: Primary): Promise<TermRow | undefined> {
  const now = one(await tx.query<Epoch>("select epoch from installation"));
  if (now === undefined) return undefined;
  const seen = await newestTerm(tx, ctx.seal);
  if (seen?.epoch === now.epoch && isSamePrimary(seen, primary)) return seen;
  // Whoever comes second waits here, and finds what the first one did.
  const held = one(await tx.query<Epoch>("select epoch from installation for update"));
  const newest = await newestTerm(tx, ctx.seal);
  if (held === undefined) throw new WeftError("aborted", "the installation went away", { detail: "STORE_CONFLICT" });
  if (newest?.epoch === held.epoch && isSamePrimary(newest, primary)) return newest;
  return await beginTerm(tx, ctx, { epoch: held.epoch, newest, primary });
}

async function beginTerm(
  tx: Tx,
  ctx: TermContext,
  at: { readonly epoch: number; readonly newest: TermRow | undefined; readonly primary: Primary },
): Promise<TermRow | undefined> {
  const { newest, primary } = at;
  const reason = reasonOf(at);
  const raised = reason === "promoted" || reason === "moved";
  const epoch = raised ? await raiseEpoch(tx, ctx.seal) : at.epoch;
  if (raised) {
    // Feeds and snapshots of the term go out at once; before the audit record, as everywhere.
    await refreshAgedSnapshots(tx, ctx.hints);
    await sweepRevocations(tx, ctx.hints);
  }
  const { seq } = await appendAudit(tx, {
    actor: "system",
    action: "term.began",
    object: `term/${epoch}`,
    ...(newest === undefined ? {} : { before: facts(newest) }),
    after: { epoch, ...facts(primary), reason },
  });
  const row: NewTerm = { epoch, ...primary, reason, firstSeq: newest === undefined ? 1 : seq };
  await tx.query(
    `insert into term (epoch, system_identifier, timeline, reason, first_seq, mac) values ($1, $2, $3, $4, $5, $6)`,
    [epoch, row.systemIdentifier, row.timeline, reason, row.firstSeq, ctx.seal.mac("term", macFields(row))],
  );
  return await newestTerm(tx, ctx.seal);
}

/** A restore has raised the epoch already; a first term begins where the installation did. */
function reasonOf({
  epoch,
  newest,
  primary,
}: {
  readonly epoch: number;
  readonly newest: TermRow | undefined;
  readonly primary: Primary;
}): TermRow["reason"] {
  if (newest === undefined) return "first";
  if (epoch > newest.epoch) return "restored";
  return newest.systemIdentifier === primary.systemIdentifier && primary.timeline > newest.timeline
    ? "promoted"
    : "moved";
}

function facts({ systemIdentifier, timeline }: Primary): object {
  return { systemIdentifier, timeline };
}
