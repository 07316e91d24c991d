/**
 * Who may act right now: the judge behind every RPC at control.
 *
 * W1. Only a leaf on the allowlist acts: current, or next (whose first use makes it current), of a subject that is active.
 * W2. An answer is at most `limits.allowlistStaleMaxMs` old: it holds while the audit head, which every change of trust
 *     moves, is known to be where it was. A change by this process counts at once, another's at the latest after that time.
 * W3. A store that cannot be asked allows nobody: the failure is thrown, not guessed around.
 */

import type { SpiffeKind } from "../../certs/spiffe.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { CERTIFICATES_TOPIC } from "../hints/hints.ts";
import { appendAudit } from "../store/audit.ts";
import { type CertificateRow, findCertificate, promoteCertificate } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { getIdentity, setIdentityKey } from "../store/identities.ts";
import { getMembership } from "../store/memberships.ts";
import { getNode, requireAuthenticNode, setNodeKey } from "../store/nodes.ts";
import { rolesOf } from "../store/roles.ts";
import { one } from "../store/sql.ts";
import { roles as roleWords } from "../store/vocabulary.ts";
import { RestoreHold } from "./restore-hold.ts";

export interface Allowed {
  readonly allowed: true;
  readonly subjectKind: SpiffeKind;
  readonly subjectId: string;
  /** Cluster id; `installation` for operators. */
  readonly scope: string;
  readonly spiffe: string;
  readonly keyHash: string;
  /** Clients: theirs. Else empty. */
  readonly organizationId: string;
  /** Nodes: assigned roles, of any organization. */
  readonly roles: readonly NodeRole[];
  /** Nodes: a disabled member may renew and watch, and nothing else. */
  readonly memberActive: boolean;
  readonly notAfterMs: number;
}

export interface NotAllowed {
  readonly allowed: false;
  readonly detail:
    | "CERTIFICATE_UNKNOWN"
    | "CERTIFICATE_SUPERSEDED"
    | "CERTIFICATE_REVOKED"
    | "IDENTITY_REVOKED"
    | "CALLER_KIND"
    | "TRUST_ROW_UNAUTHENTIC";
}

interface Entry {
  readonly version: number;
  readonly verdict: Allowed | NotAllowed;
}

export class Allowlist {
  /** What a restore from a backup asks of callers, for a while. */
  readonly hold: RestoreHold;
  readonly #ctx: StoreContext;
  readonly #entries = new Map<string, Entry>();
  readonly #unsubscribe: () => void;
  #version: { readonly seq: number; readonly atMs: number } | undefined;
  #asking: Promise<number> | undefined;

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
    this.hold = new RestoreHold(ctx);
    this.#unsubscribe = ctx.hints.subscribe(CERTIFICATES_TOPIC, () => this.forget());
  }

  /** The next question is asked of the store. */
  forget(): void {
    this.#version = undefined;
    // An answer on its way may be from before the change.
    this.#asking = undefined;
  }

  /** Whether the holder of this leaf may act. Throws `unavailable` when the store cannot be asked (W3). */
  async judge(issuerKeyId: string, serial: string): Promise<Allowed | NotAllowed> {
    const key = `${issuerKeyId}/${serial}`;
    const version = await this.#currentVersion();
    const kept = this.#entries.get(key);
    if (kept !== undefined && kept.version === version) return kept.verdict;
    const verdict = await this.#look(issuerKeyId, serial);
    if (this.#entries.size >= limits.allowlistEntriesMaxCount) this.#entries.clear();
    this.#entries.set(key, { version, verdict });
    return verdict;
  }

  close(): void {
    this.#unsubscribe();
    this.#entries.clear();
  }

  async #currentVersion(): Promise<number> {
    const nowMs = this.#ctx.clock.monoMs();
    if (this.#version !== undefined && nowMs - this.#version.atMs < limits.allowlistStaleMaxMs)
      return this.#version.seq;
    this.#asking ??= this.#askVersion(nowMs);
    return await this.#asking;
  }

  async #askVersion(askedAtMs: number): Promise<number> {
    const asking = (async () =>
      one(await this.#ctx.sql.query<{ seq: number }>("select seq from audit_head"))?.seq ?? -1)();
    try {
      const seq = await asking;
      // Dated from when it was asked, and only if nothing changed meanwhile.
      if (this.#asking !== undefined) this.#version = { seq, atMs: askedAtMs };
      return seq;
    } finally {
      this.#asking = undefined;
    }
  }

  async #look(issuerKeyId: string, serial: string): Promise<Allowed | NotAllowed> {
    try {
      const row = await findCertificate(this.#ctx.sql, this.#ctx.seal, issuerKeyId, serial);
      if (row === undefined) return refused("CERTIFICATE_UNKNOWN");
      if (row.status === "revoked") return refused("CERTIFICATE_REVOKED");
      if (row.status === "superseded") return refused("CERTIFICATE_SUPERSEDED");
      const verdict = await this.#subject(row);
      if (!verdict.allowed || row.status === "current") return verdict;
      return (await this.#promote(row)) ? verdict : refused("CERTIFICATE_SUPERSEDED");
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.reason !== "data_loss") throw thrown;
      this.#ctx.log.error("a stored trust record was altered; its subject is refused", { detail: thrown.detail });
      return refused("TRUST_ROW_UNAUTHENTIC");
    }
  }

  async #subject(row: CertificateRow): Promise<Allowed | NotAllowed> {
    const { sql, seal } = this.#ctx;
    const { subjectKind, subjectId, scope, spiffe, keyHash, notAfterMs } = row;
    const base = { allowed: true, subjectKind, subjectId, scope, spiffe, keyHash, notAfterMs } as const;
    if (subjectKind === "node") {
      const node = await getNode(sql, scope, subjectId);
      if (node === undefined) return refused("CERTIFICATE_UNKNOWN");
      requireAuthenticNode(seal, node);
      if (node.identityStatus !== "active") return refused("IDENTITY_REVOKED");
      const membership = await getMembership(sql, seal, scope, subjectId);
      const grants = await rolesOf(sql, seal, subjectId);
      const roles = [...new Set(grants.map((grant) => roleWords.value(grant.role)))].filter(
        (role) => role !== NodeRole.UNSPECIFIED,
      );
      return { ...base, organizationId: "", roles, memberActive: membership?.status === "active" };
    }
    if (subjectKind !== "client" && subjectKind !== "operator") return refused("CALLER_KIND");
    const identity = await getIdentity(sql, seal, subjectId);
    if (identity === undefined || identity.kind !== subjectKind) return refused("CERTIFICATE_UNKNOWN");
    if (identity.status !== "active") return refused("IDENTITY_REVOKED");
    return { ...base, organizationId: identity.organizationId, roles: [], memberActive: true };
  }

  /** The first use of a renewed leaf: it becomes current, the one before it stops. */
  async #promote(row: CertificateRow): Promise<boolean> {
    const { sql, seal } = this.#ctx;
    return await sql.tx(async (tx) => {
      const outcome = await promoteCertificate(tx, this.#ctx, row);
      if (outcome !== "promoted") return outcome === "already";
      if (row.subjectKind === "node") {
        const node = await getNode(tx, row.scope, row.subjectId);
        if (node !== undefined && node.keyHash !== row.keyHash) await setNodeKey(tx, { seal }, node.id, row.keyHash);
      }
      if (row.subjectKind === "operator" || row.subjectKind === "client") {
        const identity = await getIdentity(tx, seal, row.subjectId);
        if (identity !== undefined && identity.keyHash !== row.keyHash)
          await setIdentityKey(tx, seal, identity, row.keyHash);
      }
      await appendAudit(tx, {
        actor: row.spiffe,
        action: "certificate.rotated",
        object: `${row.subjectKind}/${row.subjectId}`,
        ...(row.subjectKind === "operator" ? {} : { clusterId: row.scope }),
        after: { serial: row.serial, notAfterMs: row.notAfterMs },
      });
      return true;
    });
  }
}

function refused(detail: NotAllowed["detail"]): NotAllowed {
  return { allowed: false, detail };
}
