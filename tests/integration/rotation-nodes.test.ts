/**
 * THR-C17 with a real control and real nodes: a rotation goes through for those who acknowledge, waits for the one who does
 * not, and nobody restarts; what runs on disk is what runs in memory; no port resumes a session, before or after.
 */

import { X509Certificate } from "node:crypto";
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { issuerIn } from "../../certs/bundle.ts";
import { controlServerName, joinServerName } from "../../fabric/server-names.ts";
import { CaService, type Rotation, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { silentLog } from "../../lib/log.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { type NodeHandle, startNode } from "../../node/main.ts";
import type { NodeIdentity } from "../../node/ports.ts";
import { rpcClient } from "../../rpc/client.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";
import { isSoak } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { shake } from "../harness/handshakes.ts";
import { type JoinedNode, joinNode } from "../harness/joined-node.ts";

let control: TestControl;
const joined: JoinedNode[] = [];
const running: NodeHandle[] = [];
/** Beats, holds every bundle it likes, and acknowledges none. */
let refuser: JoinedNode;
/** What the refuser's host hears of its beats: control still takes them. */
const beats: bigint[] = [];
let beating: NodeJS.Timeout;

const run = (node: JoinedNode): Promise<NodeHandle> =>
  startNode(
    loadNodeConfig({ env: {}, flags: { stateDir: node.stateDir, control: control.running.publicAddress, dev: true } }),
    { version: "1.0-test", pid: process.pid, rssPeakBytes: () => 1, log: silentLog },
  );

beforeAll(async () => {
  control = await startTestControl();
  const { publicAddress } = control.running;
  const plan = { operator: control.operator(), publicAddress, clusterId: control.outcome.cluster.id };
  const roles = [NodeRole.RELAY];
  for (const name of ["one", "two"]) joined.push(await joinNode({ ...plan, name, roles }));
  refuser = await joinNode({ ...plan, name: "refuser", roles });
  for (const node of joined) running.push(await run(node));
  const transport = refuser.transport(publicAddress);
  let seq = 0n;
  const beat = async (): Promise<void> => {
    const said = { bootId: "test", seq: ++seq, sentAtMs: BigInt(Date.now()) };
    const { acknowledgedBundleVersion } = await rpcClient(HeartbeatService, transport).beat(said);
    beats.push(acknowledgedBundleVersion);
  };
  beating = setInterval(() => void beat().catch(() => {}), 500);
}, 120_000);
afterAll(async () => {
  clearInterval(beating);
  for (const node of running) await node[Symbol.asyncDispose]();
  await control?.[Symbol.asyncDispose]();
  for (const { stateDir } of [...joined, refuser]) rmSync(stateDir, { recursive: true, force: true });
}, 30_000);

const ca = () => rpcClient(CaService, control.operator());
const about = (kind: RootKind) => ({ clusterId: control.outcome.cluster.id, kind });

async function rotation(id: string): Promise<Rotation> {
  const { rotations } = await ca().getCaStatus({ clusterId: control.outcome.cluster.id, all: true });
  const found = rotations.find((each) => each.id === id);
  if (found === undefined) throw new Error("no such rotation");
  return found;
}

/** As it is on disk: what a restart would begin with. */
function identityOf(node: JoinedNode): NodeIdentity {
  const stored = loadIdentity(node.stateDir);
  if (stored === undefined) throw new Error("no identity");
  return stored.identity;
}

const issuerOf = (node: JoinedNode): string | undefined => {
  const { bundle, leaf } = identityOf(node);
  return issuerIn(bundle, leaf.certificateDer);
};

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** What neighbours call a node by. */
function linkNameOf(node: JoinedNode): string {
  const { subjectAltName = "" } = new X509Certificate(identityOf(node).leaf.certificateDer);
  return /DNS:(link-[^,\s]+)/.exec(subjectAltName)?.[1] ?? "";
}

/** Every TLS door of every process, as strangers and neighbours name it. */
function doors(): readonly { readonly name: string; readonly port: number; readonly servername: string }[] {
  const { clusterSlug } = identityOf(joined[0] as JoinedNode);
  const publicPort = portOf(control.running.publicAddress);
  return [
    { name: "control join", port: publicPort, servername: joinServerName(clusterSlug) },
    { name: "control nodes", port: publicPort, servername: controlServerName(clusterSlug) },
    { name: "control operators", port: portOf(control.running.operatorAddress), servername: "localhost" },
    ...running.flatMap(({ name, publicAddress, operatorAddress }, at) => [
      { name: `${name} links`, port: portOf(publicAddress), servername: linkNameOf(joined[at] as JoinedNode) },
      { name: `${name} operators`, port: portOf(operatorAddress), servername: "localhost" },
    ]),
  ];
}

/** What sessions could be resumed by, door by door; nothing older than TLS 1.3 is spoken anywhere. */
async function tickets() {
  const found: {
    readonly name: string;
    readonly port: number;
    readonly servername: string;
    readonly session: Buffer;
  }[] = [];
  for (const { name, port, servername } of doors()) {
    const { secured, reused, sessions } = await shake(port, { servername });
    expect({ name, secured, reused }).toEqual({ name, secured: true, reused: false });
    const older = await shake(port, { servername, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
    expect(older.secured, name).toBe(false);
    for (const session of sessions) found.push({ name, port, servername, session });
  }
  return found;
}

describe("THR-C17 a rotation among real nodes", () => {
  it("stays while one node does not acknowledge, goes on without it once it is exempted, and restarts nobody", async () => {
    const before = await tickets();
    const first = joined.map(issuerOf);
    const started = (await ca().startRotation(about(RootKind.NODE))).rotation;
    const id = started?.id ?? "";
    // Those who acknowledge have done so; the one who does not goes on beating, and is waited for.
    const waiting = await eventually(
      async () => {
        const now = await rotation(id);
        return now.acknowledged === 2 && now.stragglers.length === 1 ? now : undefined;
      },
      { withinMs: 30_000, everyMs: 100, what: "two acknowledgements" },
    );
    expect(waiting.stragglers[0]).toMatchObject({ id: refuser.nodeId, waitsFor: "acknowledgement" });
    const heard = beats.length;
    await eventually(() => beats.length > heard + 3, { withinMs: 20_000, what: "beats of the one who refuses" });
    expect((await rotation(id)).phase).toBe(RotationPhase.PUBLISH);
    expect(beats.every((version) => version === 0n)).toBe(true);
    await expect(ca().advanceRotation(about(RootKind.NODE))).rejects.toMatchObject({ detail: "ROTATION_WAITING" });
    await ca().exemptFromRotation({ ...about(RootKind.NODE), subjectId: refuser.nodeId, reason: "a test" });
    await eventually(async () => (await rotation(id)).phase === RotationPhase.DONE, {
      ...{ withinMs: 60_000, everyMs: 200, what: "the end of the rotation" },
    });
    for (const [at, node] of joined.entries()) {
      expect(issuerOf(node), "a leaf of the new root, in a bundle that has no other").not.toBe(first[at]);
      expect(identityOf(node).bundle.roots.filter(({ kind }) => kind === RootKind.NODE)).toHaveLength(1);
    }
    // Nothing that was handed out before means anything now, nor anything handed out since.
    const since = await tickets();
    expect(Math.min(before.length, since.length)).toBeGreaterThan(0);
    for (const { name, port, servername, session } of [...before, ...since]) {
      for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
        const { reused } = await shake(port, { servername, session, minVersion: "TLSv1.2", maxVersion });
        expect(reused, `${name} ${maxVersion}`).toBe(false);
      }
    }
  }, 120_000);

  it("works from disk after a restart, and control takes the node by its new leaf", async () => {
    const [node] = joined as [JoinedNode];
    await running[0]?.[Symbol.asyncDispose]();
    running[0] = await run(node);
    const { bundleVersion } = await ca().getCaStatus({ clusterId: control.outcome.cluster.id });
    expect(identityOf(node).bundle.version).toBe(bundleVersion);
    await ca().getCaStatus({ clusterId: control.outcome.cluster.id, evidence: true });
    await eventually(
      async () => {
        const { evidence } = await ca().getCaStatus({ clusterId: control.outcome.cluster.id, evidence: true });
        return evidence.find(({ nodeId }) => nodeId === node.nodeId)?.version === bundleVersion;
      },
      { withinMs: 20_000, everyMs: 100, what: "its word about the bundle it has from disk" },
    );
  }, 60_000);

  // It takes the silence of control that a node waits for before it asks.
  if (isSoak) {
    it("lets the exempted node back in by the key it enrolled with, without a human", async () => {
      clearInterval(beating);
      const before = issuerOf(refuser);
      running.push(await run(refuser));
      await eventually(() => issuerOf(refuser) !== before && issuerOf(refuser) !== undefined, {
        ...{ withinMs: 90_000, everyMs: 250, what: "a leaf of the new root" },
      });
      expect(identityOf(refuser).nodeId).toBe(refuser.nodeId);
      await eventually(
        async () => {
          const { evidence, bundleVersion } = await ca().getCaStatus({
            ...{ clusterId: control.outcome.cluster.id, evidence: true },
          });
          return evidence.find(({ nodeId }) => nodeId === refuser.nodeId)?.version === bundleVersion;
        },
        { withinMs: 60_000, everyMs: 250, what: "its acknowledgement" },
      );
    }, 180_000);
  }
});
