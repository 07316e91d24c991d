/** One node in miniature: real identity, signers and certificates, a clock that tests move, ports that remember. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { rootKinds } from "../../../certs/bundle.ts";
import { spiffeKinds } from "../../../certs/spiffe.ts";
import { signFeed } from "../../../fabric/feed.ts";
import { signSnapshot } from "../../../fabric/snapshot/sign.ts";
import { RevocationFeedSchema, type SignedFeed } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import {
  type Snapshot,
  type SnapshotEnvelope,
  SnapshotSchema,
  type TrustBundle,
  TrustBundleSchema,
} from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { silentLog } from "../../../lib/log.ts";
import { seededRandom } from "../../../lib/random.ts";
import { createDrainState, createNodeCounters, createNodeEvents, Listeners } from "../../../node/events.ts";
import type { DataPlanePorts } from "../../../node/plane-ports.ts";
import type { IdentityHolder, NodeEvent, NodeIdentity, RevocationSubject } from "../../../node/ports.ts";
import { ContractDesk } from "../../../node/roles/contract-desk.ts";
import { makePki, type TestPki } from "../../harness/pki.ts";
import { installation, nowMs, signer } from "../fabric/snapshot/stage.ts";

export { installation, nowMs, signer };

export const clusterId = "cl-a";
export const selfId = "nd-self";

export const snapshotSigner = signer("snapshot", clusterId);
export const feedSigner = signer("feed", clusterId);

/** The roots of a pki as a node keeps them. */
export function bundleOf(pki: TestPki): TrustBundle {
  return create(TrustBundleSchema, {
    trustDomain: pki.trustDomain,
    clusterId,
    clusterSlug: "default",
    roots: spiffeKinds.map((kind) => ({ kind: rootKinds[kind], certificateDer: pki.cas[kind].root.der })),
    version: 1n,
    issuedAtMs: BigInt(nowMs),
  });
}

export async function makeIdentity(pki: TestPki, nodeId = selfId): Promise<NodeIdentity> {
  return {
    trustDomain: pki.trustDomain,
    clusterId,
    clusterSlug: "default",
    nodeId,
    name: "self",
    leaf: await pki.leaf("node", nodeId, { nowMs }),
    poolLeaves: new Map(),
    bundle: bundleOf(pki),
    controlName: "control.default.weft.internal",
  };
}

export const pki: TestPki = await makePki(clusterId);
export const identity: NodeIdentity = await makeIdentity(pki);

/** A snapshot of this node; `issuedAtMs` grows with the version. */
export function snapshotWith(fields: MessageInitShape<typeof SnapshotSchema> = {}): Snapshot {
  const version = fields.version ?? 1n;
  return create(SnapshotSchema, {
    trustDomain: pki.trustDomain,
    clusterId,
    clusterSlug: "default",
    nodeId: selfId,
    epoch: 1n,
    version,
    issuedAtMs: BigInt(nowMs) + version,
    notAfterMs: BigInt(nowMs + 86_400_000),
    ...fields,
  });
}

export function envelopeWith(
  fields: MessageInitShape<typeof SnapshotSchema> = {},
  by = snapshotSigner,
): SnapshotEnvelope {
  return signSnapshot(by, snapshotWith(fields));
}

export function feedWith(
  seq: bigint,
  revocations: MessageInitShape<typeof RevocationFeedSchema>["revocations"] = [],
  more: {
    readonly by?: typeof feedSigner;
    readonly clusterId?: string;
    readonly issuedAtMs?: bigint;
    readonly epoch?: bigint;
  } = {},
): SignedFeed {
  const { by = feedSigner, issuedAtMs = BigInt(nowMs) + seq, epoch = 1n } = more;
  return signFeed(
    by,
    create(RevocationFeedSchema, {
      clusterId: more.clusterId ?? clusterId,
      epoch,
      seq,
      issuedAtMs,
      revocations: revocations ?? [],
    }),
  );
}

/** A folder that is removed at the end of a `using` block. */
export function stateFolder(): { readonly dir: string; [Symbol.dispose](): void } {
  const dir = mkdtempSync(join(tmpdir(), "weft-node-"));
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

export function holderOf(held: NodeIdentity): IdentityHolder {
  return { current: () => held, onChange: () => () => {} };
}

export interface TestPorts extends DataPlanePorts {
  readonly clock: ManualClock;
  readonly seen: NodeEvent[];
  /** Kinds of the events so far. */
  kinds(): string[];
  /** What the node acts on from now on. */
  show(snapshot: Snapshot | undefined): void;
  /** Certificates that count as revoked; `revokedChanged` tells everybody. */
  revoked: (subject: RevocationSubject) => boolean;
  revokedChanged(): void;
}

/** Ports whose snapshot and revocations the test decides. */
export function testPorts(snapshot?: Snapshot): TestPorts {
  const clock = new ManualClock(nowMs);
  const fail = (thrown: unknown): never => {
    throw thrown;
  };
  const events = createNodeEvents(clock, fail);
  const seen: NodeEvent[] = [];
  events.subscribe((event) => seen.push(event));
  const snapshots = new Listeners<Snapshot>(fail);
  const feeds = new Listeners<void>(fail);
  let current = snapshot;
  const ports: TestPorts = {
    identity: holderOf(identity),
    snapshot: {
      current: () => current,
      onChange: (listener) => snapshots.add(listener),
      newestSignedMs: () => 0,
    },
    feed: {
      current: () => undefined,
      position: () => ({ epoch: 1n, seq: 7n }),
      newestIssuedMs: () => 0,
      offer: () => "known",
      isRevoked: (subject) => ports.revoked(subject),
      onChange: (listener) => feeds.add(listener),
    },
    events,
    counters: createNodeCounters(),
    drain: createDrainState(events, fail),
    clock,
    random: seededRandom(1),
    log: silentLog,
    seen,
    kinds: () => seen.map(({ kind }) => kind),
    show(next) {
      current = next;
      if (next !== undefined) snapshots.notify(next);
    },
    revoked: () => false,
    revokedChanged: () => feeds.notify(),
  };
  return ports;
}

/** A desk that believes the test's installation. */
export function deskOf(ports: DataPlanePorts): ContractDesk {
  return new ContractDesk({ ports, installationSpki: installation.spkiDer });
}
