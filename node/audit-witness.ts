/**
 * This node as a witness of the audit chain: it keeps the heads its snapshots carried, and says with every beat which is
 * the highest. A control whose log was cut or written anew then contradicts its own nodes.
 *
 * AW1. What is kept outlives snapshots and restarts, and never goes back (fabric/audit/witness.ts).
 * AW2. A snapshot whose head contradicts what is kept is evidence: it is put aside as it came, told, and from then on the
 *      head it contradicts is the one beats repeat, until a new epoch begins or somebody takes the file away.
 */

import { join } from "node:path";
import { installationKeyHash } from "../certs/installation.ts";
import { HASH_BYTES } from "../fabric/audit/chain.ts";
import {
  encodeWitness,
  judgeHead,
  keepHead,
  parseWitness,
  WITNESS_FILE,
  type WitnessBook,
  type WitnessedHead,
} from "../fabric/audit/witness.ts";
import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import type { Log } from "../lib/log.ts";
import { keepForkEvidence } from "./evidence.ts";
import type { IdentityHolder, NodeEvents, SnapshotHolder } from "./ports.ts";

export interface AuditWitnessDeps {
  readonly stateDir: string;
  readonly identity: IdentityHolder;
  readonly installationKeySpki: Uint8Array;
  readonly snapshot: SnapshotHolder;
  readonly log: Log;
  readonly events: NodeEvents;
}

export interface AuditWitness {
  /** The head to tell control about; undefined before the first. */
  reported(): WitnessedHead | undefined;
}

/** Opens what the state folder keeps and goes on with every snapshot. A damaged file is put aside, not overwritten. */
export function openAuditWitness(deps: AuditWitnessDeps): AuditWitness {
  const witness = new DiskWitness(deps);
  const current = deps.snapshot.current();
  if (current !== undefined) witness.saw(current);
  deps.snapshot.onChange((snapshot) => witness.saw(snapshot));
  return witness;
}

class DiskWitness implements AuditWitness {
  readonly #deps: AuditWitnessDeps;
  readonly #path: string;
  #book: WitnessBook;

  constructor(deps: AuditWitnessDeps) {
    this.#deps = deps;
    this.#path = join(deps.stateDir, WITNESS_FILE);
    this.#book = this.#stored();
  }

  reported(): WitnessedHead | undefined {
    const { contradicted, heads } = this.#book;
    const newest = heads.at(-1);
    return contradicted !== undefined && contradicted.epoch === newest?.epoch ? contradicted : newest;
  }

  saw({ epoch, version, auditHead }: Snapshot): void {
    if (auditHead === undefined || auditHead.hash.length !== HASH_BYTES || auditHead.seq === 0n) return;
    const head = { epoch: Number(epoch), seq: Number(auditHead.seq), hash: Uint8Array.from(auditHead.hash) };
    const verdict = judgeHead(this.#book.heads, head);
    if (verdict.is === "newer") this.#keep({ ...this.#book, heads: keepHead(this.#book.heads, head) });
    if (verdict.is === "back" || verdict.is === "forked") this.#contradict(head, verdict.held, version);
  }

  #contradict(head: WitnessedHead, held: WitnessedHead, version: bigint): void {
    const { stateDir, log, events } = this.#deps;
    log.error("the audit head of a snapshot contradicts an earlier one; both are kept", {
      seq: head.seq,
      epoch: head.epoch,
      version: Number(version),
    });
    events.emit("audit_contradicted", { epoch: String(head.epoch), seq: String(head.seq), held: String(held.seq) });
    // The first contradiction is the one that is repeated: what follows it may be consistent in itself.
    if (this.#book.contradicted?.epoch !== head.epoch) this.#keep({ ...this.#book, contradicted: held });
    try {
      const statement = readFileIfAny(join(stateDir, "snapshot.bin"));
      if (statement !== undefined) keepForkEvidence(stateDir, "audit", statement, statement);
    } catch (thrown) {
      log.error("evidence about the audit log cannot be kept on disk", { error: messageOf(thrown) });
    }
  }

  #keep(book: WitnessBook): void {
    this.#book = book;
    try {
      replaceFile(this.#path, encodeWitness(book));
    } catch (thrown) {
      this.#deps.log.error("the witnessed audit head cannot be kept on disk", { error: messageOf(thrown) });
    }
  }

  #stored(): WitnessBook {
    const { identity, installationKeySpki, log } = this.#deps;
    const { clusterId, nodeId } = identity.current();
    const empty = { installation: installationKeyHash(installationKeySpki), clusterId, nodeId, heads: [] };
    const stored = readFileIfAny(this.#path);
    if (stored === undefined) return empty;
    const book = parseWitness(stored.toString());
    if (book !== undefined && book.installation === empty.installation && book.nodeId === nodeId) return book;
    log.error("the file of witnessed audit heads is damaged or another node's; it is put aside");
    replaceFile(`${this.#path}.damaged`, stored);
    return empty;
  }
}
