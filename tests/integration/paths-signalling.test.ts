import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, it } from "vitest";
import { keyPairFromPem } from "../../certs/keys.ts";
import { signOffer } from "../../fabric/path/offer.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  FarEdge,
  type OpenPathRequest,
  OpenPathRequestSchema,
  PathPurpose,
  RelayService,
} from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import type { PathEvent } from "../../node/hop-path.ts";
import { rpcClient } from "../../rpc/client.ts";
import { eventually, throughout } from "../harness/eventually.ts";
import { makeIdentity, organizationId, type PlaneCluster, startCluster } from "../harness/plane-cluster.ts";
import { knock } from "../harness/raw-client.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
const hops = ["en-1", "re-1", "re-2", "eg-1"];

beforeEach(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "re-2", role: "relay" },
    { id: "eg-1", role: "egress" },
  ]);
});
afterEach(async () => await cluster.close());

const open = (over = {}) => cluster.node("en-1").plane.paths.open(cluster.request(hops, over));
const live = (): number[] => cluster.nodes.map((node) => node.ports.counters.pathsLive);

/** An offer of the entry for these hops, as it would send it. */
function offerOf(route: readonly string[], over: Record<string, unknown> = {}): OpenPathRequest {
  const { leaf, trustDomain, clusterId, nodeId } = cluster.node("en-1").identity;
  const nowMs = Math.floor(systemClock.nowMs());
  const signed = signOffer(keyPairFromPem(leaf.keyPem).privateKey, {
    trustDomain,
    clusterId,
    initiatorId: nodeId,
    initiatorLeafSerial: Buffer.from(leaf.serialHex, "hex"),
    hops: [...route],
    farEdge: FarEdge.NODE,
    purpose: PathPurpose.NEW,
    trunkId: systemRandom.bytes(16),
    class: ChannelClass.BULK,
    organizationId,
    feedEpoch: 1n,
    issuedAtMs: BigInt(nowMs),
    expiresAtMs: BigInt(nowMs + limits.offerLifeMs),
    nonce: systemRandom.bytes(16),
    ...over,
  });
  return create(OpenPathRequestSchema, { ...signed, initiatorCertificate: leaf.certificateDer });
}

/** RelayService of `to`, called as `from` over their link. */
function relayOf(from: string, to: string) {
  const transport = cluster.node(from).plane.links.transportTo(to);
  if (transport === undefined) throw new Error("no link");
  return rpcClient(RelayService, transport);
}

/** Asks a hop and returns its token; the stream stays open until `stop`. */
async function ask(from: string, to: string, request: OpenPathRequest) {
  const abort = new AbortController();
  const answers = relayOf(from, to).openPath(request, { signal: abort.signal, timeoutMs: 0 })[Symbol.asyncIterator]();
  const first = await answers.next();
  if (first.done === true || first.value.event.case !== "ready") throw new Error("no token");
  return { token: first.value.event.value.legToken, answers, stop: () => abort.abort() };
}

it("LAW-R1 REVIEW-1 a token works once, at its own hop, whoever dials first", async () => {
  const base = live();
  const { token } = await ask("en-1", "re-1", offerOf(hops));
  const preamble = encodeLegPreamble(token);
  for (const other of ["re-2", "eg-1", "en-1"]) await closed(await knock(cluster.node(other).address, preamble));
  // Strangers dial first, with tokens of their own invention; the rightful connection is spliced all the same.
  for (let i = 0; i < 5; i++) {
    await closed(await knock(cluster.node("re-1").address, encodeLegPreamble(systemRandom.bytes(32))));
  }
  const rightful = await knock(cluster.node("re-1").address, preamble);
  await eventually(() => cluster.node("re-1").ports.counters.pathsLive === (base[1] ?? 0) + 1, { what: "the splice" });
  await closed(await knock(cluster.node("re-1").address, preamble));
  expect(rightful.destroyed).toBe(false);
  rightful.resetAndDestroy();
  await eventually(() => live().every((count, i) => count === base[i]), { what: "nothing left" });
});

it("LAW-R1 a token nobody uses lapses after 5 s at every hop, and says so", async () => {
  const { token, answers } = await ask("en-1", "re-1", offerOf(hops));
  const startedMs = performance.now();
  const next = await answers.next();
  expect(performance.now() - startedMs).toBeGreaterThan(limits.legTokenLifeMs - 500);
  expect(next.value?.event).toMatchObject({ case: "closing", value: { reason: "token_expired" } });
  await closed(await knock(cluster.node("re-1").address, encodeLegPreamble(token)));
  expect(live()).toEqual([0, 0, 0, 0]);
}, 15_000);

it("LAW-R1 an offer is good once, at its own place, from its own predecessor", async () => {
  const request = offerOf(hops);
  const { stop } = await ask("en-1", "re-1", request);
  await expect(ask("en-1", "re-1", request)).rejects.toMatchObject({ detail: "OFFER_REPLAYED" });
  // Replayed past the relay that follows, by an entry that is nobody's predecessor, and to a node that is not on it.
  await expect(ask("en-1", "re-2", offerOf(hops))).rejects.toMatchObject({ detail: "OFFER_WRONG_CALLER" });
  await expect(ask("en-1", "re-2", offerOf(["en-1", "re-1", "eg-1"]))).rejects.toMatchObject({
    detail: "OFFER_NOT_ON_PATH",
  });
  const tampered = offerOf(hops);
  tampered.offer[tampered.offer.length - 1] = (tampered.offer.at(-1) ?? 0) ^ 1;
  await expect(ask("en-1", "re-1", tampered)).rejects.toMatchObject({ detail: "OFFER_SIGNATURE" });
  stop();
});

it("LAW-R1 a neighbour in front of no path may not ask at all", async () => {
  await expect(ask("eg-1", "re-1", offerOf(["en-1", "re-1", "eg-1"]))).rejects.toMatchObject({
    detail: "ROLE_REQUIRED",
  });
});

it("LAW-R2 REVIEW-24 one initiator's pending paths are bounded, and another's are served", async () => {
  const tokens: Awaited<ReturnType<typeof ask>>[] = [];
  let refused: unknown;
  for (let i = 0; i < 60 && refused === undefined; i++) {
    await ask("en-1", "re-1", offerOf(["en-1", "re-1", "eg-1"])).then(
      (asked) => void tokens.push(asked),
      (error: unknown) => {
        refused = error;
      },
    );
  }
  expect(refused).toMatchObject({ detail: "PATH_BUDGET" });
  expect(tokens.length).toBeLessThanOrEqual(limits.pendingPathsPerInitiatorMaxCount);
  for (const { stop } of tokens) stop();
});

it("the drain of a relay reaches the initiator; the path lives on", async () => {
  const path = await open();
  const events: PathEvent[] = [];
  path.onEvent((event) => void events.push(event));
  cluster.node("re-2").ports.drain.set(true);
  await eventually(() => events.length > 0);
  expect(events).toEqual([{ kind: "draining", nodeId: "re-2" }]);
  expect(path.raw.destroyed).toBe(false);
  await expect(open()).rejects.toMatchObject({ detail: "PATH_DRAINING", metadata: { hop: "2" } });
  path.close();
});

it("LAW-I4 a revoked relay is cut out of live paths and links by a feed that came over one link", async () => {
  const path = await open();
  const end = await eventually(() => cluster.node("eg-1").ends.at(-1));
  const gone = closed(end.raw);
  const startedMs = performance.now();
  cluster.revoke(["re-2"], "eg-1");
  await Promise.all([closed(path.raw), gone]);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  await eventually(() => cluster.node("re-1").plane.links.transportTo("re-2") === undefined, { what: "its links cut" });
  await throughout(300, () => cluster.node("re-1").plane.links.transportTo("re-2") === undefined, "cut off");
  await expect(open()).rejects.toMatchObject({ detail: "PATH_NEXT_HOP_UNREACHABLE" });
});

it("LAW-I4 THR-C3 a leaf that is revoked takes the paths agreed on with it, at the neighbours of whoever showed it", async () => {
  const path = await open();
  const end = await eventually(() => cluster.node("eg-1").ends.at(-1));
  const over = [closed(path.raw), closed(end.raw)];
  cluster.revokeLeaves(["re-1"], "eg-1");
  await Promise.all(over);
  await eventually(() => cluster.node("re-2").plane.links.transportTo("re-1") === undefined, { what: "its links cut" });
  await eventually(() => live().every((count) => count === 0), { what: "no path left anywhere" });
  await expect(open()).rejects.toMatchObject({ detail: "PATH_NEXT_HOP_UNREACHABLE" });
});

it("a neighbour that left the snapshot is cut, and comes back with it", async () => {
  const path = await open();
  cluster.publish(["re-1"]);
  await closed(path.raw);
  expect(cluster.node("en-1").plane.links.transportTo("re-1")).toBeUndefined();
  await expect(open()).rejects.toMatchObject({ detail: "PATH_NOT_A_NEIGHBOUR" });
  cluster.publish();
  await cluster.linked();
  (await open()).close();
});

it("losing a link ends the signalling, not the splice", async () => {
  const path = await open();
  const events: PathEvent[] = [];
  path.onEvent((event) => void events.push(event));
  const end = await eventually(() => cluster.node("eg-1").ends.at(-1));
  const relay = cluster.node("re-1");
  relay.plane.links.close();
  await eventually(() => relay.plane.links.transportTo("re-2") === undefined, { what: "the link down" });
  // What the next relay has to say is not heard any more; what the edges say to each other is.
  cluster.node("re-2").ports.drain.set(true);
  path.tls.write("still here");
  const [data] = (await once(end.tls, "data")) as [Buffer];
  expect(data.toString()).toBe("still here");
  expect(events).toEqual([]);
  path.close();
});

it("a renewed identity is shown by every later handshake", async () => {
  const egress = cluster.node("eg-1");
  const renewed = await makeIdentity(cluster.pki, egress.spec, egress.linkLabel);
  const since = Math.max(...egress.plane.links.status().map((link) => link.upSinceMs));
  const seen = egress.seen.length;
  await throughout(5, () => true);
  egress.renew(renewed);
  const path = await open();
  expect(path.peer.serialHex).toBe(renewed.leaf.serialHex);
  // Its links are made anew before the old ones are let go: there was always one to call on.
  await eventually(() => egress.plane.links.status().every((link) => link.state === "up" && link.upSinceMs > since), {
    what: "links with the new identity",
  });
  expect(egress.seen.slice(seen).map((event) => event.kind)).not.toContain("link_down");
  expect(path.tls.getProtocol()).toBe("TLSv1.3");
  path.close();
});

it("a canceled open leaves nothing behind", async () => {
  const base = process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
  for (let i = 0; i < 10; i++) {
    const abort = new AbortController();
    const opening = open({ signal: abort.signal });
    setTimeout(() => abort.abort(), i);
    await opening.then(
      (path) => path.close(),
      (error: unknown) => expect(error).toMatchObject({ detail: "PATH_CANCELED" }),
    );
  }
  await eventually(() => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length <= base, {
    what: "sockets back to baseline",
  });
  expect(live()).toEqual([0, 0, 0, 0]);
});

it("200 paths opened and closed leak no socket, no token, no stream", async () => {
  const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
  const base = sockets();
  let opened = 0;
  for (let round = 0; round < 20; round++) {
    const paths = await Promise.all(Array.from({ length: 10 }, () => open().catch(() => undefined)));
    for (const path of paths) path?.close();
    opened += paths.filter((path) => path !== undefined).length;
    // 20 offers a second from one initiator.
    await eventually(() => live().every((count) => count === 0));
  }
  expect(opened).toBeGreaterThan(40);
  await eventually(() => sockets() <= base, { what: "sockets back to baseline" });
});
