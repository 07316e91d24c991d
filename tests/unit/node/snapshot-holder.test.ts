import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { NodeSelfSchema, type Snapshot, SnapshotEnvelopeSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { type OwnSnapshotHolder, openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import {
  envelopeWith,
  identity,
  installation,
  nowMs,
  signer,
  stateFolder,
  type TestPorts,
  testPorts,
} from "./stage.ts";

interface Opened {
  readonly ports: TestPorts;
  readonly holder: OwnSnapshotHolder;
}

function open(stateDir: string, limit: (snapshot: Snapshot) => Snapshot = (snapshot) => snapshot): Opened {
  const ports = testPorts();
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
  ])("%s envelope is refused and leaves no trace", (_what, make) => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    expect(holder.offer(make())).toBe("refused");
    expect(holder.current()).toBeUndefined();
    expect(ports.kinds()).toEqual(["snapshot_refused"]);
    expect(readdirSync(folder.dir)).toEqual([]);
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

  it("signed dates are a floor under the wall clock: a clock set back revives no statement that ended", () => {
    using folder = stateFolder();
    const { holder, ports } = open(folder.dir);
    holder.offer(envelopeWith({ version: 2n }));
    expect(holder.newestSignedMs()).toBe(nowMs + 2);
    holder.sawSignedMs(nowMs + limits.signingKeyStatementLifeMs + 1);
    holder.sawSignedMs(nowMs);
    ports.clock.stepWall(-60_000);
    expect(holder.offer(envelopeWith({ version: 3n }))).toBe("refused");
    expect(holder.newestSignedMs()).toBe(nowMs + limits.signingKeyStatementLifeMs + 1);
    expect(open(folder.dir).holder.newestSignedMs()).toBe(nowMs + 2);
  });
});
