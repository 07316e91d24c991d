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
import { Batch } from "../../lib/batch.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { CERTIFICATES_TOPIC } from "../hints/hints.ts";
import { appendAudit } from "../store/audit.ts";
import { type CertificateRow, findCertificates, type LeafName, promoteCertificate } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { getIdentity, setIdentityKey } from "../store/identities.ts";
import { getMemberships, type MembershipRow } from "../store/memberships.ts";
import { getNode, getNodes, type NodeRow, setNodeKey } from "../store/nodes.ts";
import { rolesOfNodes } from "../store/roles.ts";
import { one } from "../store/sql.ts";
import { roles as roleWords } from "../store/vocabulary.ts";
import { CloneAlarm } from "./clone-alarm.ts";
import type { GrantRow } from "./placement.ts";
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

/** A leaf, and where it is used from. */
interface UsedLeaf extends LeafName {
  readonly source: string;
}

interface Entry {
  readonly version: number;
  readonly verdict: Allowed | NotAllowed;
}

export class Allowlist {
  /** What a restore from a backup asks of callers, for a while. */
  readonly hold: RestoreHold;
  /** Told of certificates that are used after another took their place. */
  readonly clones: CloneAlarm;
  readonly #ctx: StoreContext;
  readonly #entries = new Map<string, Entry>();
  /** A change of trust makes every caller be looked up again at once: they are looked up together. */
  readonly #looks = new Batch<UsedLeaf, Allowed | NotAllowed>({
    run: (names) => this.#lookAll(names),
    maxCount: limits.callersPerStatementMaxCount,
    queueMaxCount: limits.publicSocketsMaxCount,
  });
  readonly #unsubscribe: () => void;
  #version: { readonly seq: number; readonly atMs: number } | undefined;
  #asking: Promise<number> | undefined;

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
    this.hold = new RestoreHold(ctx);
    this.clones = new CloneAlarm(ctx);
    this.#unsubscribe = ctx.hints.subscribe(CERTIFICATES_TOPIC, () => this.forget());
  }

  /** The next question is asked of the store. */
  forget(): void {
    this.#version = undefined;
    // An answer on its way may be from before the change.
    this.#asking = undefined;
  }

  /**
   * Whether the holder of this leaf may act; `source`, the address it is used from, is kept of a first use. Throws
   * `unavailable` when the store cannot be asked (W3).
   */
  async judge(issuerKeyId: string, serial: string, source = ""): Promise<Allowed | NotAllowed> {
    const key = `${issuerKeyId}/${serial}`;
    const version = await this.#currentVersion();
    const kept = this.#entries.get(key);
    if (kept !== undefined && kept.version === version) return kept.verdict;
    const verdict = await this.#look({ issuerKeyId, serial, source });
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

  #askVersion(askedAtMs: number): Promise<number> {
    const asking = this.#readVersion()
      .then((seq) => {
        // Dated from when it was asked, and only if nothing changed meanwhile.
        if (this.#asking === asking) this.#version = { seq, atMs: askedAtMs };
        return seq;
      })
      .finally(() => {
        if (this.#asking === asking) this.#asking = undefined;
      });
    return asking;
  }

  async #readVersion(): Promise<number> {
    return one(await this.#ctx.sql.query<{ seq: number }>("select seq from audit_head"))?.seq ?? -1;
  }

  async #look(name: UsedLeaf): Promise<Allowed | NotAllowed> {
    try {
      return await this.#looks.ask(name);
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.reason !== "data_loss") throw thrown;
      this.#ctx.log.error("a stored trust record was altered; its subject is refused", { detail: thrown.detail });
      return refused("TRUST_ROW_UNAUTHENTIC");
    }
  }

  async #lookAll(names: readonly UsedLeaf[]): Promise<readonly (Allowed | NotAllowed)[]> {
    const rows = await findCertificates(this.#ctx.sql, this.#ctx.seal, names);
    const live = rows.filter((row) => row?.status === "current" || row?.status === "next");
    const nodeIds = live.flatMap((row) => (row?.subjectKind === "node" ? [row.subjectId] : []));
    const nodes = await this.#readNodes([...new Set(nodeIds)]);
    const verdicts: (Allowed | NotAllowed)[] = [];
    for (const [at, row] of rows.entries()) verdicts.push(await this.#verdictOf(row, nodes, names[at]?.source ?? ""));
    return verdicts;
  }

  async #verdictOf(row: CertificateRow | undefined, nodes: KnownNodes, source: string): Promise<Allowed | NotAllowed> {
    if (row === undefined) return refused("CERTIFICATE_UNKNOWN");
    if (row.status === "revoked") return refused("CERTIFICATE_REVOKED");
    if (row.status === "superseded") return refused("CERTIFICATE_SUPERSEDED");
    const verdict = row.subjectKind === "node" ? nodeVerdict(row, nodes) : await this.#identityVerdict(row);
    if (!verdict.allowed || row.status === "current") return verdict;
    return (await this.#promote(row, source)) ? verdict : refused("CERTIFICATE_SUPERSEDED");
  }

  async #readNodes(ids: readonly string[]): Promise<KnownNodes> {
    if (ids.length === 0) return { nodes: new Map(), members: new Map(), grants: new Map() };
    const { sql, seal } = this.#ctx;
    const nodes = await getNodes(sql, seal, ids);
    const members = await getMemberships(
      sql,
      seal,
      nodes.map(({ id, clusterId }) => ({ nodeId: id, clusterId })),
    );
    return {
      nodes: new Map(nodes.map((node) => [node.id, node])),
      members: new Map(members.flatMap((row) => (row === undefined ? [] : [[row.nodeId, row] as const]))),
      grants: await rolesOfNodes(sql, seal, ids),
    };
  }

  async #identityVerdict(row: CertificateRow): Promise<Allowed | NotAllowed> {
    const { subjectKind, subjectId } = row;
    if (subjectKind !== "client" && subjectKind !== "operator") return refused("CALLER_KIND");
    const identity = await getIdentity(this.#ctx.sql, this.#ctx.seal, subjectId);
    if (identity === undefined || identity.kind !== subjectKind) return refused("CERTIFICATE_UNKNOWN");
    if (identity.status !== "active") return refused("IDENTITY_REVOKED");
    return { ...allowedBy(row), organizationId: identity.organizationId, roles: [], memberActive: true };
  }

  /** The first use of a renewed leaf: it becomes current, the one before it stops. */
  async #promote(row: CertificateRow, source: string): Promise<boolean> {
    const { sql, seal } = this.#ctx;
    return await sql.tx(async (tx) => {
      const outcome = await promoteCertificate(tx, this.#ctx, row, source);
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
        after: { serial: row.serial, notAfterMs: row.notAfterMs, source },
      });
      return true;
    });
  }
}

/** Nodes and what they were given, read together. */
interface KnownNodes {
  readonly nodes: ReadonlyMap<string, NodeRow>;
  readonly members: ReadonlyMap<string, MembershipRow>;
  readonly grants: ReadonlyMap<string, readonly GrantRow[]>;
}

function nodeVerdict(row: CertificateRow, { nodes, members, grants }: KnownNodes): Allowed | NotAllowed {
  const node = nodes.get(row.subjectId);
  if (node === undefined || node.clusterId !== row.scope) return refused("CERTIFICATE_UNKNOWN");
  if (node.identityStatus !== "active") return refused("IDENTITY_REVOKED");
  const words = (grants.get(node.id) ?? []).map((grant) => roleWords.value(grant.role));
  const roles = [...new Set(words)].filter((role) => role !== NodeRole.UNSPECIFIED);
  const memberActive = members.get(node.id)?.status === "active";
  return { ...allowedBy(row), organizationId: "", roles, memberActive };
}

function allowedBy({ subjectKind, subjectId, scope, spiffe, keyHash, notAfterMs }: CertificateRow) {
  return { allowed: true, subjectKind, subjectId, scope, spiffe, keyHash, notAfterMs } as const;
}

function refused(detail: NotAllowed["detail"]): NotAllowed {
  return { allowed: false, detail };
}
