/** The audit log over the wire: one stream, begun again where it broke off, and the checks that need no file. */

import { type AuditFault, type AuditHead, type AuditRecord, ChainWalk } from "../fabric/audit/chain.ts";
import { type Testimony, WitnessCheck, type WitnessFault } from "../fabric/audit/witness.ts";
import {
  type AuditChain,
  type AuditRecord as AuditRecordMessage,
  AuditService,
  type AuditWitness,
} from "../gen/weft/admin/v1/audit_pb.ts";
import { sleep, systemClock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import type { Session } from "./session.ts";

/** Where the log stood when the stream began. */
export interface StreamedChain {
  /** SHA-256 of the installation key, hex. */
  readonly installation: string;
  readonly trustDomain: string;
  readonly epoch: number;
  readonly head: AuditHead;
  /** The record before the first one asked for. */
  readonly before: AuditHead;
  readonly witnesses: readonly Testimony[];
}

export interface StreamRange {
  readonly afterSeq: number;
  /** 0: to the head. */
  readonly untilSeq: number;
}

const ATTEMPTS = 5;
const RETRY_AFTER_MS = 1_000;

/**
 * Streams (afterSeq, untilSeq]. `begin` is told where the log stands and may ask to start later than `afterSeq`; it is told
 * once. A stream that breaks off goes on after the last record; one that brings nothing five times is given up.
 */
export async function streamAudit(
  session: Session,
  range: StreamRange,
  begin: (chain: StreamedChain) => Promise<{ readonly afterSeq: number }>,
  take: (records: readonly AuditRecord[]) => void,
): Promise<StreamedChain> {
  const first = await askAudit(session, range);
  let { afterSeq } = await begin(first);
  const untilSeq = Math.min(first.head.seq, range.untilSeq === 0 ? first.head.seq : range.untilSeq);
  for (let failed = 0; afterSeq < untilSeq; ) {
    try {
      for await (const { part } of session.client(AuditService).exportAudit(wireRange({ afterSeq, untilSeq }))) {
        if (part.case !== "records") continue;
        const records = part.value.records.map(recordOf);
        take(records);
        afterSeq = records.at(-1)?.seq ?? afterSeq;
        failed = 0;
      }
      // Complete as control sees it: what is missing is for the check to say.
      break;
    } catch (thrown) {
      failed += 1;
      if (!(thrown instanceof WeftError) || thrown.retry === "never" || failed >= ATTEMPTS) throw thrown;
      await sleep(systemClock, RETRY_AFTER_MS);
    }
  }
  return first;
}

/** Where the log stands and who witnessed what: what a stream says before its records. */
async function askAudit(session: Session, { afterSeq }: StreamRange): Promise<StreamedChain> {
  let chain: AuditChain | undefined;
  const witnesses: Testimony[] = [];
  for await (const { part } of session.client(AuditService).exportAudit(wireRange({ afterSeq, untilSeq: afterSeq }))) {
    if (part.case === "records") break;
    if (part.case === "chain") chain = part.value;
    if (part.case === "witnesses") witnesses.push(...part.value.witnesses.map(testimonyOf));
  }
  if (chain === undefined) throw new WeftError("data_loss", "control did not say where its audit log stands");
  return {
    installation: Buffer.from(chain.installation).toString("hex"),
    trustDomain: chain.trustDomain,
    epoch: Number(chain.epoch),
    head: { seq: Number(chain.headSeq), hash: chain.headHash },
    before: { seq: afterSeq, hash: chain.beforeHash },
    witnesses,
  };
}

function wireRange({ afterSeq, untilSeq }: StreamRange) {
  return { afterSeq: BigInt(afterSeq), untilSeq: BigInt(untilSeq) };
}

function recordOf(message: AuditRecordMessage): AuditRecord {
  const { actor, clusterId, organizationId, action, object, result, prevHash, hash } = message;
  return {
    ...{ seq: Number(message.seq), atMs: Number(message.atMs), actor, clusterId, organizationId, action, object },
    ...{ beforeJson: message.before, afterJson: message.after, result, prevHash, hash },
  };
}

function testimonyOf({ nodeId, nodeName, epoch, seq, hash }: AuditWitness): Testimony {
  const witness = nodeName === "" ? `node/${nodeId}` : `node/${nodeId} (${nodeName})`;
  return { witness, epoch: Number(epoch), seq: Number(seq), hash };
}

/** What became of checking the log of a running control. */
export interface LiveReport {
  readonly ok: boolean;
  readonly count: number;
  readonly head: AuditHead;
  readonly fault?: AuditFault;
  readonly witnessFaults: readonly WitnessFault[];
  readonly witnessesChecked: number;
}

/** Checks a whole log and everybody who witnessed it, those given besides the nodes that beat. */
export async function verifyLive(
  session: Session,
  given: (installation: string) => readonly Testimony[],
  told: (count: number, of: number) => void,
): Promise<LiveReport> {
  const walk = new ChainWalk();
  let witnesses = new WitnessCheck([], 0);
  let headSeq = 0;
  let taken = 0;
  const begin = async (chain: StreamedChain) => {
    witnesses = new WitnessCheck([...chain.witnesses, ...given(chain.installation)], chain.epoch);
    headSeq = chain.head.seq;
    return { afterSeq: 0 };
  };
  const { head } = await streamAudit(session, { afterSeq: 0, untilSeq: 0 }, begin, (records) => {
    for (const record of records) {
      walk.take(record);
      witnesses.take(record);
    }
    taken += records.length;
    told(taken, headSeq);
  });
  const fault = walk.finish(head);
  const witnessFaults = witnesses.finish(head.seq, true);
  const [first] = witnessFaults;
  const worst = fault ?? (first === undefined ? undefined : { code: first.code, seq: first.seq, why: first.why });
  const { count } = walk;
  return {
    ...{ ok: worst === undefined, count, head, witnessFaults, witnessesChecked: witnesses.checked },
    ...(worst === undefined ? {} : { fault: worst }),
  };
}
