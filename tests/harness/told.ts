/**
 * What callers of control were told: fences, serials, revocations, audit records. Whatever happens to the store, none of it
 * may be missing from the one that is left, and none of it may have been given out twice.
 */

import { generateP256 } from "../../certs/keys.ts";
import { INSTALLATION } from "../../certs/spiffe.ts";
import { issueAndRecord } from "../../control/domain/issue.ts";
import { appendAudit, auditHead } from "../../control/store/audit.ts";
import { acquireLease } from "../../control/store/leases.ts";
import { addRevocation } from "../../control/store/revocations.ts";
import type { Sql } from "../../control/store/sql.ts";
import type { ControlCluster } from "./control-cluster.ts";

interface Fence {
  readonly epoch: number;
  readonly counter: number;
}

interface Told {
  readonly fences: { readonly name: string; readonly fence: Fence }[];
  readonly serials: string[];
  readonly revocations: { readonly keyHash: string; readonly epoch: number; readonly seq: number }[];
  readonly records: { readonly seq: number; readonly hash: Uint8Array }[];
}

export type Kind = "fence" | "serial" | "revocation";

const compare = (a: Fence, b: Fence): number => (a.epoch === b.epoch ? a.counter - b.counter : a.epoch - b.epoch);

export class Ledger {
  readonly told: Told = { fences: [], serials: [], revocations: [], records: [] };
  /** Things that went back while it ran: empty, always. */
  readonly wentBack: string[] = [];
  #highest = new Map<string, Fence>();
  #count = 0;

  /** How many changes were told of as made. */
  get count(): number {
    return this.#count;
  }

  /** Makes one change at a replica and notes what it said. Rejects as the replica does, and then nothing was told. */
  async change(replica: ControlCluster, kind: Kind): Promise<void> {
    if (kind === "fence") await this.#fence(replica);
    else if (kind === "serial") await this.#serial(replica);
    else await this.#revocation(replica);
    this.#count += 1;
  }

  async #fence({ ctx, clusterId }: ControlCluster): Promise<void> {
    const name = `work/${(ctx.random.bytes(1)[0] ?? 0) % 4}`;
    const before = this.#highest.get(name);
    const bootId = Buffer.from(ctx.random.bytes(8)).toString("hex");
    const claim = { clusterId, name, nodeId: "nd-test", bootId };
    const { row, head } = await ctx.sql.tx(async (tx) => {
      const taken = await acquireLease(tx, claim, 1);
      const after = taken === undefined ? {} : { epoch: taken.epoch, counter: taken.counter };
      return { row: taken, head: await appendAudit(tx, { actor: "test", action: "lease.taken", object: name, after }) };
    });
    this.told.records.push(head);
    if (row === undefined) return;
    const fence = { epoch: row.epoch, counter: row.counter };
    // Told after another was told, and not above it.
    if (before !== undefined && compare(fence, before) <= 0) this.wentBack.push(`fence of ${name}`);
    const highest = this.#highest.get(name);
    if (highest === undefined || compare(fence, highest) > 0) this.#highest.set(name, fence);
    this.told.fences.push({ name, fence });
  }

  async #serial({ ctx, authority, trustDomain, clusterId }: ControlCluster): Promise<void> {
    const { spkiDer } = generateP256();
    const subjectId = `ct-${Buffer.from(ctx.random.bytes(8)).toString("hex")}`;
    const order = { kind: "client", clusterId, subjectId, spkiDer, status: "current" } as const;
    const { serial, head } = await ctx.sql.tx(async (tx) => {
      const leaf = await issueAndRecord(tx, { ctx, authority, trustDomain }, order);
      const entry = { actor: "test", action: "certificate.issued", object: `client/${subjectId}` };
      return { serial: leaf.serialHex, head: await appendAudit(tx, { ...entry, after: { serial: leaf.serialHex } }) };
    });
    this.told.serials.push(serial);
    this.told.records.push(head);
  }

  async #revocation({ ctx, clusterId, trustDomain }: ControlCluster): Promise<void> {
    const keyHash = Buffer.from(ctx.random.bytes(32)).toString("hex");
    const spiffeId = `spiffe://${trustDomain}/cluster/${INSTALLATION}/operator/op-test`;
    const about = { clusterId, keyHash, spiffeId, reason: "", revokedBy: "test", notAfterMs: Date.now() + 86_400_000 };
    const highest = this.#highest.get("feed");
    const { at, head } = await ctx.sql.tx(async (tx) => {
      const position = await addRevocation(tx, ctx, about);
      const after = { keyHash };
      return {
        at: position,
        head: await appendAudit(tx, { actor: "test", action: "revoked", object: "op-test", after }),
      };
    });
    const fence = { epoch: at.feedEpoch, counter: at.feedSeq };
    if (highest !== undefined && compare(fence, highest) <= 0) this.wentBack.push("the feed");
    const now = this.#highest.get("feed");
    if (now === undefined || compare(fence, now) > 0) this.#highest.set("feed", fence);
    this.told.revocations.push({ keyHash, epoch: at.feedEpoch, seq: at.feedSeq });
    this.told.records.push(head);
  }

  /** What the store no longer has, or gave out twice; empty when nothing was lost. */
  async missingFrom(sql: Sql): Promise<readonly string[]> {
    const missing: string[] = [...this.wentBack];
    const serials = new Set(
      (await sql.query<{ serial: string }>("select serial from certificate")).map((r) => r.serial),
    );
    for (const serial of this.told.serials) if (!serials.has(serial)) missing.push(`certificate ${serial}`);
    const keys = new Set(
      (await sql.query<{ key: string }>("select key_hash as key from revocation")).map(({ key }) => key),
    );
    for (const { keyHash } of this.told.revocations) if (!keys.has(keyHash)) missing.push(`revocation of ${keyHash}`);
    const rows = await sql.query<{ seq: number; hash: Uint8Array }>("select seq, hash from audit");
    const hashes = new Map(rows.map(({ seq, hash }) => [seq, Buffer.from(hash).toString("hex")]));
    for (const { seq, hash } of this.told.records)
      if (hashes.get(seq) !== Buffer.from(hash).toString("hex")) missing.push(`audit record ${seq}`);
    const [newest = 0] = this.told.records.map(({ seq }) => seq).sort((a, b) => b - a);
    if ((await auditHead(sql)).seq < newest) missing.push("the end of the audit chain");
    missing.push(...(await this.#fencesMissing(sql)));
    return missing;
  }

  async #fencesMissing(sql: Sql): Promise<readonly string[]> {
    const missing: string[] = [];
    const seen = new Set<string>();
    const rows = await sql.query<Fence & { name: string }>(
      "select name, fence_epoch as epoch, fence_counter as counter from lease",
    );
    for (const { name, fence } of this.told.fences) {
      const key = `${name} ${fence.epoch}.${fence.counter}`;
      if (seen.has(key)) missing.push(`fence ${key} was given out twice`);
      seen.add(key);
      const row = rows.find((each) => each.name === name);
      if (row === undefined || compare(row, fence) < 0) missing.push(`fence ${key}`);
    }
    return missing;
  }
}
