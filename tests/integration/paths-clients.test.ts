import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tlsOptions } from "../../certs/tls-options.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { clientServerName, nodeServerName } from "../../fabric/server-names.ts";
import { NodeAddressSchema } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { startOperatorListener } from "../../node/listener.ts";
import type { Caller } from "../../rpc/caller.ts";
import { eventually } from "../harness/eventually.ts";
import { type PlaneCluster, poolId, startCluster } from "../harness/plane-cluster.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
const hops = ["en-1", "re-1", "eg-1"];
const dial = { clock: systemClock, deadlineMs: 5_000 };
beforeAll(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "eg-1", role: "egress" },
  ]);
});
afterAll(async () => await cluster.close());

const clientLeg = () =>
  cluster.node("en-1").plane.paths.openForClient({
    ...cluster.request(hops),
    poolId,
    askHash: systemRandom.bytes(32),
    clientId: "ct-a",
  });

async function pathAs(clientId: string) {
  const leg = await clientLeg();
  const raw = await dialTcp([create(NodeAddressSchema, cluster.node("en-1").address)], dial);
  raw.write(encodeLegPreamble(leg.legToken));
  const identity = await cluster.pki.leaf("client", clientId);
  const expect = cluster.pki.expect("pool", { ids: [poolId] });
  return { leg, raw, tls: await startTls(raw, tlsOptions("dial-path-end-pool", { identity, expect }), dial) };
}

it("a client reaches a pool through the entry's splice and sees the pool, never the node", async () => {
  const { leg, tls, raw } = await pathAs("ct-a");
  const end = await eventually(() => cluster.node("eg-1").ends.at(-1), { what: "the far end" });
  expect(end.caller).toMatchObject({ kind: "client", id: { id: "ct-a" }, organizationId: "org-a", arrivedBy: "path" });
  const shown = tls.getPeerX509Certificate()?.subjectAltName ?? "";
  expect(shown).toContain(`/pool/${poolId}`);
  expect(shown).not.toMatch(/eg-1|re-1|node/);
  tls.write("hello");
  const [data] = (await once(end.tls, "data")) as [Buffer];
  expect(data.toString()).toBe("hello");
  leg.close();
  await closed(raw);
});

it("a client without a grant is refused by the far edge", async () => {
  const before = cluster.node("eg-1").ends.length;
  const { raw } = await pathAs("ct-unknown").catch(() => ({ raw: undefined }));
  if (raw !== undefined) await closed(raw);
  expect(cluster.node("eg-1").ends.length).toBe(before);
});

it("a node's certificate does not pass for a client's", async () => {
  const leg = await clientLeg();
  const raw = await dialTcp([create(NodeAddressSchema, cluster.node("en-1").address)], dial);
  raw.write(encodeLegPreamble(leg.legToken));
  const expectation = cluster.pki.expect("node", { ids: ["eg-1"] });
  const options = tlsOptions("dial-path-end-node", {
    identity: cluster.node("en-1").identity.leaf,
    expect: expectation,
  });
  await expect(startTls(raw, options, dial)).rejects.toBeDefined();
  await closed(raw);
});

it("the operator port admits operators by any name, and nobody else", async () => {
  const relay = cluster.node("re-1");
  const admitted: Caller[] = [];
  const listener = await startOperatorListener({
    ports: relay.ports,
    bind: { host: "127.0.0.1", port: 0 },
    accept: (_tls, raw, caller) => {
      admitted.push(caller);
      raw.destroy();
    },
  });
  const address = [create(NodeAddressSchema, listener.address)];
  const expectation = cluster.pki.expect("node", { ids: ["re-1"] });
  const operator = await cluster.pki.leaf("operator", "op-1");
  for (const serverName of [undefined, "localhost", nodeServerName("re-1", "default")]) {
    const named = serverName === undefined ? {} : { serverName };
    const options = tlsOptions("dial-operator-port", { identity: operator, expect: expectation, ...named });
    const raw = await dialTcp(address, dial);
    await startTls(raw, options, dial);
    await closed(raw);
  }
  expect(admitted.map((caller) => [caller.kind, caller.id?.id])).toEqual(Array(3).fill(["operator", "op-1"]));
  const before = relay.ports.counters.handshakesRefused;
  const raw = await dialTcp(address, dial);
  const asNode = tlsOptions("dial-node-link", { identity: cluster.node("en-1").identity.leaf, expect: expectation });
  await startTls(raw, asNode, dial).catch(() => {});
  await closed(raw);
  expect(relay.ports.counters.handshakesRefused).toBe(before + 1);
  expect(admitted.length).toBe(3);
  await listener.close();
});

it("a client name opens no door on a node that is no entry", async () => {
  const identity = await cluster.pki.leaf("client", "ct-a");
  const expectation = cluster.pki.expect("node", { ids: ["re-1"] });
  const options = tlsOptions("dial-entry", { identity, expect: expectation, serverName: clientServerName("default") });
  const raw = await dialTcp([create(NodeAddressSchema, cluster.node("re-1").address)], dial);
  await expect(startTls(raw, options, dial)).rejects.toMatchObject({ detail: "TLS_FAILED" });
});

it("what fails for one connection ends that connection only", async () => {
  const egress = cluster.node("eg-1");
  const push = egress.ends.push;
  egress.ends.push = () => {
    throw new Error("the role has a bug");
  };
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
  await closed(path.raw);
  egress.ends.push = push;
  const next = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
  expect(next.peer.id?.id).toBe("eg-1");
  next.close();
});
