import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { ClusterView } from "../../../../fabric/snapshot/cluster-view.ts";
import { dataClasses } from "../../../../fabric/snapshot/data-classes.ts";
import { encodeFields, joinSections } from "../../../../fabric/snapshot/encode.ts";
import { encodeSnapshot, scopeSnapshot } from "../../../../fabric/snapshot/scope.ts";
import { SnapshotSchema, TrustBundleSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ChangingCluster } from "../../../harness/changing-cluster.ts";
import { runs } from "../../../harness/counts.ts";

const dates = { issuedAtMs: 1_800_000_000_000, notAfterMs: 1_800_086_400_000 };

const canonical = (view: ClusterView, nodeId: string): Uint8Array =>
  toBinary(SnapshotSchema, scopeSnapshot(view, nodeId, dates));

describe("encoding what snapshots have in common once", () => {
  it("gives every node, after whatever changes, what scoping its cluster anew gives", () => {
    const seeds = runs(2, 200);
    for (let seed = 1; seed <= seeds; seed += 1) {
      const cluster = new ChangingCluster(seed);
      for (let step = 0; step < 12; step += 1) {
        cluster.change();
        // A copy shares no object with the past, so nothing that is kept is found for it.
        const anew = structuredClone(cluster.view);
        for (const { nodeId } of cluster.view.nodes) {
          const snapshot = fromBinary(SnapshotSchema, joinSections(encodeSnapshot(cluster.view, nodeId, dates)));
          const same = Buffer.compare(toBinary(SnapshotSchema, snapshot), canonical(anew, nodeId)) === 0;
          if (!same) expect(snapshot, `seed ${seed}, step ${step}`).toEqual(scopeSnapshot(anew, nodeId, dates));
          expect(same).toBe(true);
        }
      }
    }
  });

  it("is byte for byte the same for a cluster that has a past and one that has none", () => {
    const { view } = new ChangingCluster(99);
    for (const { nodeId } of view.nodes) {
      const kept = joinSections(encodeSnapshot(view, nodeId, dates));
      expect(joinSections(encodeSnapshot(structuredClone(view), nodeId, dates))).toEqual(kept);
    }
  });

  it("hands out the same pieces again for what has not changed", () => {
    const cluster = new ChangingCluster(5);
    const before = cluster.view;
    const after = { ...before, version: before.version + 1n, auditHead: { seq: 5n, hash: new Uint8Array(32) } };
    for (const { nodeId } of before.nodes) {
      const [, ...old] = encodeSnapshot(before, nodeId, dates);
      const [, ...young] = encodeSnapshot(after, nodeId, dates);
      expect(young.every((section, at) => section === old[at])).toBe(true);
    }
  });

  it("works nothing out anew but routes when only the state of nodes has changed", () => {
    const cluster = new ChangingCluster(6);
    const before = cluster.view;
    const after = { ...before, nodes: before.nodes.map((node) => ({ ...node, load: 0.5 })) };
    for (const { nodeId } of before.nodes) {
      const old = encodeSnapshot(before, nodeId, dates);
      const changed = encodeSnapshot(after, nodeId, dates).flatMap((section, at) => (section === old[at] ? [] : [at]));
      // The core says the version; the graph is what routes are found on.
      expect(changed.filter((at) => at !== 0 && at !== 1 + dataClasses.indexOf("graph"))).toEqual([]);
    }
  });

  it("encodes a message that is one already, and submessages without any field", () => {
    const bundle = create(TrustBundleSchema, { roots: [{ kind: 2, certificateDer: Uint8Array.of(9) }], version: 3n });
    expect(joinSections([encodeFields(TrustBundleSchema, bundle)])).toEqual(
      joinSections([encodeFields(TrustBundleSchema, { version: 3n, roots: bundle.roots })]),
    );
    const empty = { self: {}, auditHead: {}, graph: {} };
    expect(fromBinary(SnapshotSchema, joinSections([encodeFields(SnapshotSchema, empty)]))).toEqual(
      fromBinary(SnapshotSchema, toBinary(SnapshotSchema, create(SnapshotSchema, empty))),
    );
  });
});
