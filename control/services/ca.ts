/** weft.admin.v1.CaService: authorities, signing keys, and their rotation. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { bundleHash, rootKinds } from "../../certs/bundle.ts";
import type { SigningUse } from "../../certs/installation.ts";
import { INSTALLATION, type SpiffeKind, spiffeKinds } from "../../certs/spiffe.ts";
import { type CaService, type GetCaStatusRequest, RotationPhase as WirePhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { type RootKind, SigningPurpose } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import {
  advanceRotation,
  exemptFromRotation,
  keyOverlapMs,
  type RotationOrder,
  rollBackRotation,
  rotateSigningKey,
  startRotation,
} from "../domain/rotation.ts";
import { type RotationView, viewRotation } from "../domain/rotation-gate.ts";
import { isPhase, type RotationEnd, type RotationPhase, rotationPhases } from "../domain/rotation-phases.ts";
import { type AuthorityRow, allAuthorities, listSigningKeys, type SigningKeyRow } from "../store/authorities.ts";
import { listAcks } from "../store/bundle-acks.ts";
import { requireCluster } from "../store/clusters.ts";
import { countLiveLeaves } from "../store/live-leaves.ts";
import { listMemberships } from "../store/memberships.ts";
import { listRotations, type RotationRow, retiredKeys } from "../store/rotations.ts";
import { callerOf, invalid, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const phaseWords = {
  publish: WirePhase.PUBLISH,
  sign: WirePhase.SIGN,
  taint: WirePhase.TAINT,
  drop: WirePhase.DROP,
  restore: WirePhase.RESTORE,
  revert: WirePhase.REVERT,
  withdraw: WirePhase.WITHDRAW,
  done: WirePhase.DONE,
  "rolled-back": WirePhase.ROLLED_BACK,
} as const satisfies Record<RotationPhase | RotationEnd, WirePhase>;

const uses: ReadonlyMap<SigningPurpose, SigningUse> = new Map([
  [SigningPurpose.SNAPSHOT, "snapshot"],
  [SigningPurpose.FEED, "feed"],
  [SigningPurpose.CONTRACT, "contract"],
]);

export function caService(deps: ServiceDeps): ServiceImpl<typeof CaService> {
  return {
    getCaStatus: (request) => getCaStatus(deps, request),
    startRotation: (request, context) =>
      changed(deps, request, context, "rotation.started", (order) =>
        startRotation(deps, { ...order, manual: request.manual }),
      ),
    advanceRotation: (request, context) => {
      const phase = phaseOf(request.phase);
      return changed(deps, request, context, "rotation.advanced", (order) =>
        advanceRotation(deps, { ...order, ...(phase === undefined ? {} : { phase }) }),
      );
    },
    exemptFromRotation: (request, context) => {
      const reason = reasonOf(request.reason);
      if (reason === "") throw invalid("reason", "say why the rotation is not to wait: the audit log keeps it");
      const subjectId = plainText("subject_id", request.subjectId, limits.auditObjectMaxCount);
      return changed(deps, request, context, "rotation.exempted", (order) =>
        exemptFromRotation(deps, { ...order, subjectId, reason }),
      );
    },
    rollBackRotation: (request, context) => {
      const reason = reasonOf(request.reason);
      return changed(deps, request, context, "rotation.rolled_back", (order) =>
        rollBackRotation(deps, { ...order, reason }),
      );
    },
    async rotateSigningKey(request, context) {
      const actor = callerOf(context).spiffe;
      const use = uses.get(request.purpose);
      if (use === undefined) throw invalid("purpose", "a key signs snapshots, feeds or contracts");
      const overlapMs = request.overlapMs === 0n ? keyOverlapMs[use] : Number(request.overlapMs);
      if (overlapMs < limits.signingKeyOverlapMinMs || overlapMs > limits.signingKeyStatementLifeMs)
        throw invalid("overlap_ms", "keys overlap for a second at least and seven days at most");
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const entry = { actor, action: "signing_key.rotated", object: `signing-key/${use}`, clusterId };
      const done = await recordingRefusal(deps, entry, () =>
        rotateSigningKey(deps, { clusterId, use, overlapMs, actor }),
      );
      return {
        active: signingMessage(done.active, "active", 0),
        retired: signingMessage(done.old, "old", done.refusedFromMs),
      };
    },
  };
}

async function changed(
  deps: ServiceDeps,
  request: { readonly clusterId: string; readonly kind: RootKind },
  context: HandlerContext,
  action: string,
  work: (order: RotationOrder) => Promise<RotationRow>,
) {
  const actor = callerOf(context).spiffe;
  const kind = kindOf(request.kind);
  // The operator root is the installation's, whatever cluster is named.
  const clusterId = kind === "operator" ? "" : (await requireCluster(deps.sql, request.clusterId)).id;
  const entry = { actor, action, object: `rotation/${kind}`, ...(clusterId === "" ? {} : { clusterId }) };
  const row = await recordingRefusal(deps, entry, () => work({ clusterId, kind, actor }));
  return { rotation: rotationMessage(await viewRotation(deps.sql, deps, row)) };
}

async function getCaStatus(deps: ServiceDeps, request: GetCaStatusRequest) {
  const { sql, seal } = deps;
  const cluster = await requireCluster(sql, request.clusterId);
  const scopes = [cluster.id, INSTALLATION];
  const bundle = await deps.authority.bundle(cluster.id);
  const authorities = await Promise.all(scopes.map((scope) => authoritiesOf(deps, scope)));
  const retired = new Map((await retiredKeys(sql, seal, cluster.id)).map((row) => [row.keyId, row.refusedFromMs]));
  const rotations: ReturnType<typeof rotationMessage>[] = [];
  for (const row of await listRotations(sql, seal, scopes, request.all)) {
    rotations.push(rotationMessage(await viewRotation(sql, deps, row)));
  }
  return {
    bundleVersion: bundle.message.version,
    bundleHash: bundleHash(bundle.bytes),
    authorities: authorities.flat(),
    signingKeys: (await listSigningKeys(sql, seal, cluster.id)).map((row) =>
      signingMessage(row, row.status, retired.get(row.keyId) ?? 0),
    ),
    rotations,
    evidence: request.evidence ? await evidenceOf(deps, cluster.id) : [],
  };
}

async function authoritiesOf({ sql, seal, clock }: ServiceDeps, scope: string) {
  const leaves = await countLiveLeaves(sql, scope);
  const nowMs = clock.nowMs();
  return (await allAuthorities(sql, seal, scope)).map((row: AuthorityRow) => ({
    kind: rootKinds[row.kind],
    generation: BigInt(row.generation),
    status: row.status,
    keyId: row.keyId,
    notBeforeMs: BigInt(row.notBeforeMs),
    notAfterMs: BigInt(row.notAfterMs),
    lifeSpentShare: Math.min(1, Math.max(0, (nowMs - row.notBeforeMs) / (row.notAfterMs - row.notBeforeMs))),
    liveLeaves: leaves.get(row.keyId) ?? 0,
  }));
}

async function evidenceOf({ sql, seal }: ServiceDeps, clusterId: string) {
  const names = new Map((await listMemberships(sql, seal, clusterId)).map((row) => [row.nodeId, row.nodeName]));
  return (await listAcks(sql, seal, clusterId)).map((row) => ({
    nodeId: row.nodeId,
    name: names.get(row.nodeId) ?? "",
    version: BigInt(row.bundleVersion),
    hash: Uint8Array.from(row.bundleHash),
    signature: Uint8Array.from(row.signature),
    certificateDer: Uint8Array.from(row.certificateDer),
    taintedInUse: [...row.taintedInUse],
    receivedAtMs: BigInt(row.receivedAtMs),
  }));
}

function rotationMessage({ row, exemptions, stragglers, nodes, acknowledged, isHeard }: RotationView) {
  return {
    id: row.id,
    clusterId: row.scope === INSTALLATION ? "" : row.scope,
    kind: rootKinds[row.kind],
    phase: phaseWords[row.phase],
    manual: row.manual,
    oldKeyId: row.oldKeyId,
    nextKeyId: row.nextKeyId,
    startedBy: row.startedBy,
    startedAtMs: BigInt(row.startedAtMs),
    phaseSinceMs: BigInt(row.phaseSinceMs),
    endedAtMs: BigInt(row.endedAtMs ?? 0),
    nodes,
    acknowledged,
    stragglers: stragglers.slice(0, limits.rotationStragglersMaxCount).map((each) => ({ ...each })),
    stragglersCount: stragglers.length,
    exemptions: exemptions.map(({ subjectId, subjectName, reason, exemptedBy, atMs }) => ({
      ...{ subjectId, name: subjectName, reason, exemptedBy, atMs: BigInt(atMs) },
    })),
    complete: isPhase(row.phase) && stragglers.length === 0 && isHeard,
  };
}

function signingMessage(row: SigningKeyRow, status: string, refusedFromMs: number) {
  return {
    purpose: row.purpose,
    generation: BigInt(row.generation),
    keyId: row.keyId,
    status,
    statementNotAfterMs: BigInt(row.notAfterMs),
    refusedFromMs: BigInt(refusedFromMs),
  };
}

function kindOf(kind: RootKind): SpiffeKind {
  const found = spiffeKinds.find((each) => rootKinds[each] === kind);
  if (found === undefined) throw invalid("kind", "a root is one of nodes, control, clients, pools or operators");
  return found;
}

function phaseOf(phase: WirePhase): RotationPhase | undefined {
  if (phase === WirePhase.UNSPECIFIED) return undefined;
  const found = rotationPhases.find((each) => phaseWords[each] === phase);
  if (found === undefined) throw invalid("phase", `a rotation leaves one of ${rotationPhases.join(", ")}`);
  return found;
}

function reasonOf(reason: string): string {
  return plainText("reason", reason, limits.rotationReasonMaxCount);
}
