/**
 * The audit chain, as anybody can check it: pure, without a store and without a server.
 *
 * U1. Each record's hash covers all its fields and the hash before it. Records are numbered 1, 2, 3, ... without gaps.
 * U2. A walk looks at each record once, in order, and keeps none: a chain of any length takes the same memory.
 * U3. A walk names the first record that cannot be believed. What it cannot see by itself is a history written anew from
 *     some record to its end; that contradicts the heads others have witnessed (fabric/audit/witness.ts).
 */

import { createHash } from "node:crypto";

export interface AuditRecord {
  readonly seq: number;
  readonly atMs: number;
  readonly actor: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly action: string;
  readonly object: string;
  /** JSON as it was hashed; empty when there is none. */
  readonly beforeJson: string;
  readonly afterJson: string;
  /** "ok" or "refused:<detail>". */
  readonly result: string;
  readonly prevHash: Uint8Array;
  readonly hash: Uint8Array;
}

/** The newest record's number and hash; 0 and zeros before the first. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: Uint8Array;
}

export type AuditFaultCode =
  /** A record whose fields do not give its hash. */
  | "AUDIT_ALTERED"
  /** A record that was written again, hash and all: the one after it remembers another. */
  | "AUDIT_REWRITTEN"
  | "AUDIT_MISSING"
  | "AUDIT_REORDERED"
  /** The end is not there: the head, or a witness, knows more records. */
  | "AUDIT_CUT"
  /** The chain has another record where the head, or a witness, remembers this one. */
  | "AUDIT_FORKED"
  /** As cut or forked, but the witness is from before a restore of the store. */
  | "AUDIT_GAP"
  /** A line of an export that is none. */
  | "AUDIT_MALFORMED";

/** The first thing that is wrong, and at which record. */
export interface AuditFault {
  readonly code: AuditFaultCode;
  readonly seq: number;
  readonly why: string;
}

export const ZERO_HASH: Uint8Array = new Uint8Array(32);
export const HASH_BYTES = 32;

const DOMAIN = "weft/audit/v1\0";

/** SHA-256 over the domain string and every field, each behind its length (U1). */
export function auditHash(record: Omit<AuditRecord, "hash">): Uint8Array {
  const hash = createHash("sha256").update(DOMAIN);
  const { seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result, prevHash } =
    record;
  const texts = [seq, atMs, actor, clusterId, organizationId, action, object, beforeJson, afterJson, result];
  for (const part of [...texts.map((each) => Buffer.from(String(each), "utf8")), prevHash]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return new Uint8Array(hash.digest());
}

/** Whether two hashes are the same bytes. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Checks records one after the other (U2). */
export class ChainWalk {
  #at: AuditHead;
  #count = 0;
  #fault: AuditFault | undefined;
  /** A record that follows by number and not by hash: the next one tells which of the two was written anew. */
  #doubted: AuditRecord | undefined;

  /** `before` is the record the first one has to follow. */
  constructor(before: AuditHead = { seq: 0, hash: ZERO_HASH }) {
    this.#at = before;
  }

  /** The last record that is right so far. */
  get at(): AuditHead {
    return this.#at;
  }

  /** Records that are right so far. */
  get count(): number {
    return this.#count;
  }

  get fault(): AuditFault | undefined {
    return this.#fault;
  }

  take(record: AuditRecord): void {
    if (this.#fault !== undefined) {
      this.#fault = found(this.#fault, record);
      return;
    }
    if (this.#doubted !== undefined) {
      this.#settle(this.#doubted, record.prevHash);
      return;
    }
    this.#fault = wrongAfter(this.#at.seq, record);
    if (this.#fault !== undefined) return;
    if (!sameHash(record.prevHash, this.#at.hash)) {
      this.#doubted = record;
      return;
    }
    this.#at = { seq: record.seq, hash: record.hash };
    this.#count += 1;
  }

  /** The first fault, once there are no more records and the chain should end at `head` (not given: anywhere). */
  finish(head?: AuditHead): AuditFault | undefined {
    const doubted = this.#doubted;
    if (this.#fault === undefined && doubted !== undefined) this.#settle(doubted, head?.hash ?? doubted.hash);
    if (this.#fault !== undefined || head === undefined) return this.#fault;
    const { seq, hash } = this.#at;
    if (head.seq > seq) {
      this.#fail("AUDIT_CUT", seq + 1, `the chain ends at record ${seq}; its head is record ${head.seq}`);
    } else if (head.seq < seq) {
      this.#fail("AUDIT_FORKED", head.seq + 1, `the head is record ${head.seq}, the chain goes on to ${seq}`);
    } else if (!sameHash(head.hash, hash)) {
      this.#fail("AUDIT_FORKED", seq, `record ${seq} is not the head: the hashes differ`);
    }
    return this.#fault;
  }

  /** `after` is what follows a doubted record: if it remembers that one, the one before was written anew. */
  #settle(doubted: AuditRecord, after: Uint8Array): void {
    const isLater = sameHash(after, doubted.hash) && this.#count > 0;
    const seq = isLater ? this.#at.seq : doubted.seq;
    const [rewritten, other] = isLater ? [seq, doubted.seq] : [seq, seq - 1];
    const why = `record ${rewritten} was written anew: record ${other} does not fit beside it`;
    this.#fail("AUDIT_REWRITTEN", seq, why);
  }

  #fail(code: AuditFaultCode, seq: number, why: string): void {
    this.#fault = { code, seq, why };
  }
}

/** What is wrong with a record that should be the one after `seq`, apart from what it remembers of that one. */
function wrongAfter(seq: number, record: AuditRecord): AuditFault | undefined {
  const next = seq + 1;
  if (record.seq > next) {
    return { code: "AUDIT_MISSING", seq: next, why: `record ${next} is missing: ${record.seq} comes after ${seq}` };
  }
  if (record.seq < next) {
    return { code: "AUDIT_REORDERED", seq: record.seq, why: `record ${record.seq} comes again, after ${seq}` };
  }
  if (sameHash(auditHash(record), record.hash)) return undefined;
  return { code: "AUDIT_ALTERED", seq: next, why: `record ${next} was altered: its fields do not give its hash` };
}

/** What seemed to be missing may turn up later. */
function found(fault: AuditFault, { seq }: AuditRecord): AuditFault {
  if (fault.code !== "AUDIT_MISSING" || seq !== fault.seq) return fault;
  return { code: "AUDIT_REORDERED", seq, why: `record ${seq} comes later than it should` };
}
