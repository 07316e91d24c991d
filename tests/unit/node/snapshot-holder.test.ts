import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import { payloadHashOf } from "../../../fabric/snapshot/delta.ts";
import { signSnapshotPayload } from "../../../fabric/snapshot/sign.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import {
  NodeSelfSchema,
  type Snapshot,
  type SnapshotDelta,
  SnapshotDeltaSchema,
  type SnapshotEnvelope,
  SnapshotEnvelopeSchema,
} from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { type OwnSnapshotHolder, openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import {
  clusterId,
  envelopeWith,
  identity,
  installation,
  nowMs,
  selfId,
  signer,
  snapshotSigner,
  stateFolder,
  type TestPorts,
  testPorts,
} from "./stage.ts";

interface Opened {
  readonly ports: TestPorts;
  readonly holder: OwnSnapshotHolder;
}

function open(stateDir: string, limit = (snapshot: Snapshot): Snapshot => snapshot, startMs = nowMs): Opened {
  const ports = testPorts();
  ports.clock.stepWall(startMs - nowMs);
  const { clock, log, events } = ports;
  const deps = {
    stateDir,
    identity: ports.identity,
    installationKeySpki: installation.spkiDer,
    clock,
    log,
    events,
    limit,
  };
  return { ports, holder: openSnapshotHolder(deps) };
}

const endedSigner = signer("snapshot", "cl-a", installation, nowMs - limits.signingKeyStatementLifeMs - 1);
const nextSigner = signer("snapshot", "cl-a", installation, nowMs + limits.signingKeyStatementLifeMs);
/** Field 1999, a varint. */
const unknownField = Buffer.from([0xf8, 0x7c, 0x01]);

/** These bytes, rightly signed for this node, whatever they are. */
const signedBytes = (payload: Uint8Array) =>
  signSnapshotPayload(snapshotSigner, { clusterId, nodeId: selfId }, Uint8Array.from(payload));

/** A delta that says everything anew but the first byte. */
function deltaTo(envelope: SnapshotEnvelope, base: Uint8Array): SnapshotDelta {
  const { payload, keyId, signature, signingKey } = envelope;
  return create(SnapshotDeltaSchema, {
    baseHash: payloadHashOf(base),
    payloadHash: payloadHashOf(payload),
    parts: [
      { part: { case: "copy", value: { offset: 0, length: 1 } } },
      { part: { case: "literal", value: payload.slice(1) } },
    ],
    keyId,
    signature,
    ...(signingKey === undefined ? {} : { signingKey }),
  });
}

describe("deltas", () => {
  it("are put together with what is held, also after a restart, and believed for nothing but the signature", () => {
    using folder = stateFolder();
    const first = envelopeWith({ version: 5n });
    const second = envelopeWith({ version: 6n });
    const opened = open(folder.dir);
    expect(opened.holder.offerDelta(deltaTo(second, first.payload))).toBe("gap");
    opened.holder.offer(first);
    const { holder, ports } = open(folder.dir);
    const forged = deltaTo(second, first.payload);
    forged.signature = forged.signature.map((byte) => byte ^ 1);
    expect(holder.offerDelta(forged)).toBe("refused");
    expect(holder.offerDelta(deltaTo(second, second.payload))).toBe("gap");
    expect(holder.current()?.version).toBe(5n);
    expect(holder.offerDelta(deltaTo(second, first.payload))).toBe("applied");
    expect(holder.current()?.version).toBe(6n);
    expect(holder.offerDelta(deltaTo(first, second.payload))).toBe("refused");
    expect(ports.kinds()).toEqual(["snapshot_refused", "snapshot_applied", "snapshot_refused"]);
    expect(open(folder.dir).holder.current()?.version).toBe(6n);
  });
});

describe("the snapshot a node acts on", () => {
  it("THR-S1 never goes back: not while running, not after a restart", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    expect(holder.current()).toBeUndefined();
    expect(holder.offer(envelopeWith({ version: 5n }))).toBe("applied");
    expect(holder.offer(envelopeWith({ version: 5n }))).toBe("known");
    expect(holder.offer(envelopeWith({ version: 4n }))).toBe("refused");
    expect(ports.kinds()).toEqual(["snapshot_applied", "snapshot_refused"]);

    const again = open(folder.dir);
    expect(again.holder.current()?.version).toBe(5n);
    expect(again.holder.offer(envelopeWith({ version: 4n }))).toBe("refused");
    expect(again.holder.offer(envelopeWith({ version: 5n }))).toBe("known");
    expect(again.holder.current()?.version).toBe(5n);
    expect(again.holder.offer(envelopeWith({ epoch: 2n, version: 1n }))).toBe("applied");
    expect(open(folder.dir).holder.current()).toMatchObject({ epoch: 2n, version: 1n });
  });

  it("an equal version with other content is a fork: refused, kept as evidence, and nothing changes", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    holder.offer(envelopeWith({ version: 5n, clusterSlug: "default" }));
    const fork = envelopeWith({ version: 5n, clusterSlug: "other" });
    expect(holder.offer(fork)).toBe("refused");
    expect(ports.seen.at(-1)).toMatchObject({
      kind: "snapshot_refused",
      facts: { reason: "an equal version with other content" },
    });
    const evidence = readdirSync(folder.dir).filter((name) => name.startsWith("snapshot-fork-"));
    expect(evidence).toHaveLength(1);
    const kept = fromBinary(SnapshotEnvelopeSchema, readFileSync(join(folder.dir, evidence[0] ?? "")));
    expect(Buffer.from(kept.payload)).toEqual(Buffer.from(fork.payload));
    expect(open(folder.dir).holder.current()?.clusterSlug).toBe("default");
  });

  it.each([
    ["THR-S3 another node's", () => envelopeWith({ nodeId: "nd-other" })],
    ["another cluster's", () => envelopeWith({ clusterId: "cl-b" }, signer("snapshot", "cl-b"))],
    ["one signed by a key for feeds", () => envelopeWith({}, signer("feed"))],
    ["one of another installation", () => envelopeWith({}, signer("snapshot", "cl-a", createInstallationKey()))],
    ["one with a byte changed", () => ({ ...envelopeWith(), payload: envelopeWith({ version: 9n }).payload })],
    ["an empty", () => create(SnapshotEnvelopeSchema, {})],
    ["THR-S5 one by a key whose statement has ended", () => envelopeWith({}, endedSigner)],
    ["THR-S5 one by a key that may not sign yet", () => envelopeWith({}, nextSigner)],
    ["THR-S5 a truncated", () => ({ ...envelopeWith(), payload: envelopeWith().payload.subarray(0, -1) })],
    ["THR-S5 a rightly signed one that is cut", () => signedBytes(envelopeWith().payload.subarray(0, -1))],
    ["THR-S5 one with a field nobody knows", () => signedBytes(Buffer.concat([envelopeWith().payload, unknownField]))],
    ["THR-S5 one of 100 MB", () => ({ ...envelopeWith(), payload: new Uint8Array(100 * 1_048_576) })],
    ["THR-S5 a compressed", () => signedBytes(gzipSync(Buffer.alloc(32 * 1_048_576)))],
  ])("%s envelope is refused and leaves no trace", (_what, make) => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    expect(holder.offer(make())).toBe("refused");
    expect(holder.current()).toBeUndefined();
    expect(ports.kinds()).toEqual(["snapshot_refused"]);
    expect(readdirSync(folder.dir)).toEqual([]);
  });

  it("THR-S6 one of a lower epoch is older, whatever its version, its date and its signer say", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    expect(holder.offer(envelopeWith({ epoch: 3n, version: 1n }))).toBe("applied");
    const minority = { epoch: 2n, version: 900n, issuedAtMs: BigInt(nowMs + 60_000) };
    expect(holder.offer(envelopeWith(minority))).toBe("refused");
    expect(open(folder.dir).holder.offer(envelopeWith(minority))).toBe("refused");
    expect(holder.current()).toMatchObject({ epoch: 3n, version: 1n });
    expect(ports.kinds()).toEqual(["snapshot_applied", "snapshot_refused"]);
  });

  it("a damaged file is left as it is; the next good snapshot replaces it", () => {
    using folder = stateFolder();
    const path = join(folder.dir, "snapshot.bin");
    writeFileSync(path, "damaged");
    const { holder, ports } = open(folder.dir);
    expect(holder.current()).toBeUndefined();
    expect(ports.kinds()).toEqual(["snapshot_refused"]);
    expect(readFileSync(path, "utf8")).toBe("damaged");
    expect(holder.offer(envelopeWith())).toBe("applied");
    expect(open(folder.dir).holder.current()?.version).toBe(1n);
  });

  it("another node's file put into this node's folder is not believed", () => {
    using folder = stateFolder();
    using other = stateFolder();
    const ports = testPorts();
    const { clock, log, events } = ports;
    const foreign = { ...identity, nodeId: "nd-other" };
    const deps = {
      installationKeySpki: installation.spkiDer,
      clock,
      log,
      events,
      limit: (snapshot: Snapshot) => snapshot,
    };
    const theirs = openSnapshotHolder({
      ...deps,
      stateDir: other.dir,
      identity: { current: () => foreign, onChange: () => () => {} },
    });
    expect(theirs.offer(envelopeWith({ nodeId: "nd-other" }))).toBe("applied");
    writeFileSync(join(folder.dir, "snapshot.bin"), readFileSync(join(other.dir, "snapshot.bin")));
    expect(open(folder.dir).holder.current()).toBeUndefined();
  });

  it("is on disk before anybody hears of it, and nobody hears of one that was refused", () => {
    using folder = stateFolder();
    const { holder } = open(folder.dir);
    const heard: unknown[] = [];
    holder.onChange((snapshot) => heard.push([snapshot.version, existsSync(join(folder.dir, "snapshot.bin"))]));
    holder.offer(envelopeWith({ version: 2n }));
    holder.offer(envelopeWith({ version: 1n }));
    holder.offer(envelopeWith({ version: 2n }));
    expect(heard).toEqual([[2n, true]]);
  });

  it("LAW-C6 shows nobody a role beyond the ceiling, although the signed bytes on disk still name it", () => {
    using folder = stateFolder();
    const self = { name: "n", roles: [{ role: NodeRole.RELAY }, { role: NodeRole.EGRESS }] };
    const onlyRelay = (snapshot: Snapshot): Snapshot => ({
      ...snapshot,
      self: create(NodeSelfSchema, { ...self, roles: self.roles.slice(0, 1) }),
    });
    const { holder } = open(folder.dir, onlyRelay);
    const heard: unknown[] = [];
    holder.onChange((snapshot) => heard.push(snapshot.self?.roles.length));
    expect(holder.offer(envelopeWith({ self }))).toBe("applied");
    expect(heard).toEqual([1]);
    expect(holder.current()?.self?.roles.map(({ role }) => role)).toEqual([NodeRole.RELAY]);
    expect(holder.offer(envelopeWith({ self }))).toBe("known");
    expect(open(folder.dir, onlyRelay).holder.current()?.self?.roles).toHaveLength(1);
    expect(open(folder.dir).holder.current()?.self?.roles).toHaveLength(2);
  });

  it("LAW-I4 signed dates are a floor under the wall clock: a clock set back revives no statement that ended", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    holder.offer(envelopeWith({ version: 2n }));
    expect(holder.newestSignedMs()).toBe(nowMs + 2);
    ports.clock.advance(limits.signingKeyStatementLifeMs);
    const lateMs = ports.clock.nowMs();
    expect(holder.sawSignedMs(lateMs + 1)).toBe(true);
    expect(holder.sawSignedMs(nowMs)).toBe(true);
    ports.clock.stepWall(-limits.signingKeyStatementLifeMs);
    expect(holder.offer(envelopeWith({ version: 3n }))).toBe("refused");
    expect(holder.newestSignedMs()).toBe(lateMs + 1);
    // After a restart too, with the clock still set back.
    expect(open(folder.dir).holder.newestSignedMs()).toBe(lateMs + 1);
  });

  it("LAW-I4 a clock set back while running does not stop the floor", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    ports.clock.stepWall(-3_600_000);
    ports.clock.advance(60_000);
    expect(holder.sawSignedMs(nowMs + 60_000)).toBe(true);
    expect(holder.newestSignedMs()).toBe(nowMs + 60_000);
  });

  it("a date far ahead does not raise the floor, is said once, and the snapshot counts all the same", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    const farMs = nowMs + limits.signedSkewMaxMs + 1;
    expect(holder.offer(envelopeWith({ version: 2n, issuedAtMs: BigInt(farMs) }))).toBe("applied");
    expect(holder.sawSignedMs(farMs)).toBe(false);
    expect(holder.newestSignedMs()).toBe(0);
    expect(ports.kinds()).toEqual(["clock_skew", "snapshot_applied"]);
    expect(open(folder.dir).holder.newestSignedMs()).toBe(0);
  });

  it("many small steps ahead lead no further than one", () => {
    using folder = stateFolder();
    const { holder } = open(folder.dir);
    for (let step = 1; step <= 100; step += 1) holder.sawSignedMs(nowMs + step * (limits.signedSkewMaxMs / 2));
    expect(holder.newestSignedMs()).toBe(nowMs + limits.signedSkewMaxMs);
  });

  it("a date beyond the end of the key that signed it is refused", () => {
    using folder = stateFolder();
    const { holder } = open(folder.dir);
    const endMs = BigInt(nowMs + limits.signingKeyStatementLifeMs);
    const beyond = envelopeWith({ issuedAtMs: endMs, notAfterMs: endMs + 86_400_000n });
    expect(holder.offer(beyond)).toBe("refused");
  });
});

describe("THR-S1 the memory of the newest snapshot", () => {
  const laterMs = nowMs + limits.signingKeyStatementLifeMs + 1;

  /** A restart after so long an outage that nothing stored can be verified any more, and control's keys of that day. */
  function afterOutage(stateDir: string) {
    const { holder, ports } = open(stateDir, undefined, laterMs);
    const by = signer("snapshot", "cl-a", installation, laterMs);
    const dated = { issuedAtMs: BigInt(laterMs), notAfterMs: BigInt(laterMs + 86_400_000) };
    return {
      holder,
      ports,
      envelope: (version: bigint, more = {}) => envelopeWith({ ...dated, version, ...more }, by),
    };
  }

  it("outlives what it remembers: an older one is refused although nothing is held", () => {
    using folder = stateFolder();
    open(folder.dir).holder.offer(envelopeWith({ version: 5n }));
    const { holder, envelope } = afterOutage(folder.dir);
    expect(holder.current()).toBeUndefined();
    expect(holder.offer(envelope(4n))).toBe("refused");
    expect(holder.offer(envelope(5n))).toBe("refused");
    expect(readdirSync(folder.dir).filter((name) => name.startsWith("snapshot-fork-"))).toHaveLength(1);
    expect(holder.offer(envelope(6n))).toBe("applied");
    expect(holder.current()?.version).toBe(6n);
  });

  it("takes the very same content again under a new key", () => {
    using folder = stateFolder();
    const first = envelopeWith({ version: 5n });
    open(folder.dir).holder.offer(first);
    const { holder } = afterOutage(folder.dir);
    const again = envelopeWith({ version: 5n }, signer("snapshot", "cl-a", installation, laterMs));
    expect(Buffer.from(again.payload)).toEqual(Buffer.from(first.payload));
    expect(holder.offer(again)).toBe("applied");
    expect(holder.current()?.version).toBe(5n);
  });

  it("refuses a stored snapshot that somebody put back", () => {
    using folder = stateFolder();
    const path = join(folder.dir, "snapshot.bin");
    const { holder } = open(folder.dir);
    holder.offer(envelopeWith({ version: 4n }));
    const older = readFileSync(path);
    holder.offer(envelopeWith({ version: 5n }));
    writeFileSync(path, older);
    const again = open(folder.dir);
    expect(again.holder.current()).toBeUndefined();
    expect(again.ports.kinds()).toEqual(["snapshot_refused"]);
    expect(again.holder.offer(envelopeWith({ version: 5n }))).toBe("applied");
  });

  it("is made from the stored snapshot where it is missing or damaged", () => {
    using folder = stateFolder();
    const path = join(folder.dir, "snapshot-mark.json");
    open(folder.dir).holder.offer(envelopeWith({ version: 5n }));
    for (const damage of [() => writeFileSync(path, "{"), () => rmSync(path)]) {
      damage();
      const { holder } = open(folder.dir);
      expect(holder.current()?.version).toBe(5n);
      expect(holder.offer(envelopeWith({ version: 4n }))).toBe("refused");
      expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ epoch: "1", version: "5" });
    }
  });

  it("a flood of contradictions fills no disk", () => {
    using folder = stateFolder();
    const { holder } = open(folder.dir);
    for (let at = 0; at <= limits.forkEvidenceMaxCount + 3; at += 1)
      holder.offer(envelopeWith({ version: 5n, clusterSlug: `c${at}` }));
    const kept = readdirSync(folder.dir).filter((name) => name.startsWith("snapshot-fork-"));
    expect(kept).toHaveLength(limits.forkEvidenceMaxCount);
  });
});
