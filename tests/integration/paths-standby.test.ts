/** A client's second path: nobody but the far edge knows both, so it is the far edge that keeps them apart. */

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tlsOptions } from "../../certs/tls-options.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { NodeAddressSchema } from "../../gen/weft/fabric/v1/role_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { eventually } from "../harness/eventually.ts";
import { type PlaneCluster, poolId, startCluster } from "../harness/plane-cluster.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
beforeAll(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "en-2", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "re-2", role: "relay" },
    { id: "eg-1", role: "egress" },
  ]);
});
afterAll(async () => await cluster.close());

const dial = { clock: systemClock, deadlineMs: 5_000 };

const ask = (hops: readonly string[], trunkId: Uint8Array, purpose: PathPurpose) =>
  cluster.node(hops[0] ?? "").plane.paths.openForClient({
    ...cluster.request(hops, { trunkId, purpose }),
    poolId,
    askHash: systemRandom.bytes(32),
    clientId: "ct-a",
  });

/** A client path that carries: the far edge has taken it. */
async function live(hops: readonly string[], trunkId: Uint8Array, purpose: PathPurpose) {
  const before = cluster.node("eg-1").ends.length;
  const leg = await ask(hops, trunkId, purpose);
  const raw = await dialTcp([create(NodeAddressSchema, cluster.node(hops[0] ?? "").address)], dial);
  raw.write(encodeLegPreamble(leg.legToken));
  const identity = await cluster.pki.leaf("client", "ct-a");
  const expectation = cluster.pki.expect("pool", { ids: [poolId] });
  await startTls(raw, tlsOptions("dial-path-end-pool", { identity, expect: expectation }), dial);
  await eventually(() => cluster.node("eg-1").ends.length > before, { what: "the far end" });
  return { leg, raw };
}

it("a standby that shares a relay is refused by the far edge, which says which hops are meant", async () => {
  const trunkId = systemRandom.bytes(16);
  const { leg, raw } = await live(["en-1", "re-1", "eg-1"], trunkId, PathPurpose.NEW);
  await expect(ask(["en-2", "re-1", "eg-1"], trunkId, PathPurpose.STANDBY)).rejects.toMatchObject({
    detail: "PATH_SHARES_RELAY",
    metadata: { shared: "1" },
  });
  await expect(ask(["en-2", "re-2", "re-1", "eg-1"], trunkId, PathPurpose.STANDBY)).rejects.toMatchObject({
    detail: "PATH_SHARES_RELAY",
    metadata: { shared: "2" },
  });
  const standby = await live(["en-2", "re-2", "eg-1"], trunkId, PathPurpose.STANDBY);
  // What has to share says so by its purpose; and other trunks are nobody's business.
  (await ask(["en-2", "re-1", "eg-1"], trunkId, PathPurpose.RESUME)).close();
  (await ask(["en-2", "re-1", "eg-1"], systemRandom.bytes(16), PathPurpose.STANDBY)).close();
  for (const path of [leg, standby.leg]) path.close();
  await closed(raw);
  await closed(standby.raw);
});

it("a path that is over is in nobody's way", async () => {
  const trunkId = systemRandom.bytes(16);
  const { leg, raw } = await live(["en-1", "re-1", "eg-1"], trunkId, PathPurpose.NEW);
  leg.close();
  await closed(raw);
  await eventually(() => cluster.node("eg-1").ports.counters.pathsLive === 0, { what: "the far edge to hear of it" });
  const next = await live(["en-2", "re-1", "eg-1"], trunkId, PathPurpose.STANDBY);
  next.leg.close();
  await closed(next.raw);
});
