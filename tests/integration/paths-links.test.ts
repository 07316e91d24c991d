import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, expect, it } from "vitest";
import { encodeReversePreamble } from "../../fabric/preamble.ts";
import { linkServerName } from "../../fabric/server-names.ts";
import { ProbeService } from "../../gen/weft/probe/v1/probe_pb.ts";
import { RelayService } from "../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { eventually } from "../harness/eventually.ts";
import { type PlaneCluster, startCluster } from "../harness/plane-cluster.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
beforeEach(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "eg-1", role: "egress", dialOutOnly: true },
  ]);
});
afterEach(async () => await cluster.close());

function calls(from: string, to: string) {
  const transport = cluster.node(from).plane.links.transportTo(to);
  if (transport === undefined) throw new Error("no link");
  return transport;
}

it("links probe each other, both ways over what one side dialled", async () => {
  const states = await eventually(() => {
    const links = cluster.node("re-1").plane.links;
    return links.measurements().filter((link) => link.rttMs !== undefined).length === 2 && links.status();
  });
  expect(states.map((link) => [link.peerNodeId, link.state, link.reverse]).sort()).toEqual([
    ["eg-1", "up", false],
    ["en-1", "up", false],
  ]);
  expect(
    cluster
      .node("eg-1")
      .plane.links.status()
      .map((link) => link.reverse),
  ).toEqual([false, true]);
});

it("a probe is answered with load and drain, and echoes a bounded payload", async () => {
  const probe = rpcClient(ProbeService, calls("re-1", "eg-1"));
  cluster.node("eg-1").ports.drain.set(true);
  const payload = new Uint8Array(limits.probePayloadMaxBytes).fill(7);
  expect(await probe.probe({ seq: 9n, payload })).toMatchObject({ seq: 9n, payload, draining: true, load: 0 });
  await expect(probe.probe({ payload: new Uint8Array(limits.probePayloadMaxBytes + 1) })).rejects.toMatchObject({
    detail: "PROBE_SIZE",
  });
});

it("a lost link is dialled again", async () => {
  const links = cluster.node("en-1").plane.links;
  const before = links.status()[0]?.upSinceMs ?? 0;
  cluster.publish(["re-1"]);
  expect(links.transportTo("re-1")).toBeUndefined();
  cluster.publish();
  await eventually(() => (links.status()[0]?.upSinceMs ?? 0) > before, { what: "the link again" });
});

it("DialBack for a path nobody agreed to is refused", async () => {
  const relay = rpcClient(RelayService, calls("re-1", "eg-1"));
  const token = new Uint8Array(32);
  await expect(relay.dialBack({ legToken: token, pathToken: token })).rejects.toMatchObject({ detail: "PATH_UNKNOWN" });
  expect(cluster.node("eg-1").ports.counters.tokensRefused).toBe(1);
});

it("who knows the link name but holds no node certificate gets no further than TLS", async () => {
  const relay = cluster.node("re-1");
  const leaf = await cluster.pki.leaf("client", "ct-a");
  const before = relay.ports.counters.handshakesRefused;
  for (const preamble of [Buffer.alloc(0), encodeReversePreamble()]) {
    const raw = connect(relay.address);
    raw.write(preamble);
    const shown = { key: leaf.keyPem, cert: leaf.certificatePem };
    const servername = linkServerName(relay.linkLabel, "default");
    const tls = connectTls({ socket: raw, servername, ...shown, ALPNProtocols: ["h2"], rejectUnauthorized: false });
    tls.on("error", () => {});
    await closed(raw);
  }
  expect(relay.ports.counters.handshakesRefused).toBe(before + 2);
  expect(relay.plane.links.status().every((link) => link.state === "up")).toBe(true);
});
