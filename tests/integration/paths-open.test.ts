import { createHash } from "node:crypto";
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { MiB } from "../../lib/limits.ts";
import type { OpenedPath } from "../../node/paths.ts";
import { eventually } from "../harness/eventually.ts";
import { type PlaneCluster, startCluster } from "../harness/plane-cluster.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
const hops = ["en-1", "re-1", "re-2", "eg-1"];

beforeAll(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "re-2", role: "relay" },
    { id: "eg-1", role: "egress" },
    { id: "eg-2", role: "egress", dialOutOnly: true },
  ]);
});

afterAll(async () => await cluster.close());

/** The far end of a path just opened. */
async function farEnd(path: OpenedPath, egressId: string) {
  const egress = cluster.node(egressId);
  const trunk = Buffer.from(path.pathTag).toString();
  return await eventually(() => egress.ends.find((end) => end.pathTag === trunk), { what: "the far end" });
}

async function sendHashed(from: NodeJS.WritableStream, to: NodeJS.ReadableStream, bytes: number): Promise<void> {
  const sent = createHash("sha256");
  const received = createHash("sha256");
  let count = 0;
  const done = new Promise<void>((resolve) => {
    to.on("data", (data: Buffer) => {
      received.update(data);
      count += data.length;
      if (count >= bytes) resolve();
    });
  });
  for (let at = 0; at < bytes; ) {
    const chunk = Buffer.alloc(Math.min(256 * 1024, bytes - at), at % 251);
    sent.update(chunk);
    at += chunk.length;
    if (!from.write(chunk)) await once(from, "drain");
  }
  await done;
  expect(count).toBe(bytes);
  expect(received.digest("hex")).toBe(sent.digest("hex"));
}

it("LAW-T5 opens a path over two relays; both edges know exactly whom they talk to", async () => {
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
  const end = await farEnd(path, "eg-1");
  expect(path.peer.id?.id).toBe("eg-1");
  expect(end.caller.id?.id).toBe("en-1");
  expect(end.caller.arrivedBy).toBe("path");
  expect(end.offer.hops).toEqual(hops);
  expect(path.tls.getEphemeralKeyInfo()).toBeDefined();
  expect(path.tls.exportKeyingMaterial(32, "weft", Buffer.alloc(0))).toEqual(
    end.tls.exportKeyingMaterial(32, "weft", Buffer.alloc(0)),
  );
  path.close();
  await eventually(() => cluster.nodes.every((node) => node.ports.counters.pathsLive === 0), { what: "no path left" });
});

it("carries 64 MiB through two splices unchanged, and back", async () => {
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
  const end = await farEnd(path, "eg-1");
  await sendHashed(path.tls, end.tls, 64 * MiB);
  await sendHashed(end.tls, path.tls, 8 * MiB);
  path.close();
  await eventually(() => cluster.node("re-1").ports.counters.bytesSpliced > 72 * MiB, { what: "the bytes counted" });
});

it("reaches a node that can only dial out: it dials back and is the TLS server", async () => {
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(["en-1", "re-1", "eg-2"]));
  const end = await farEnd(path, "eg-2");
  expect(path.peer.id?.id).toBe("eg-2");
  await sendHashed(path.tls, end.tls, 2 * MiB);
  await sendHashed(end.tls, path.tls, 2 * MiB);
  path.close();
  await eventually(() => end.raw.destroyed, { what: "the far end gone" });
});

it("a FIN of one edge, without a word of TLS, ends the other", async () => {
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
  const end = await farEnd(path, "eg-1");
  const gone = closed(end.raw);
  path.raw.destroy();
  await gone;
  await eventually(() => cluster.nodes.every((node) => node.ports.counters.pathsLive === 0), { what: "no path left" });
});

it("a killed edge is seen at the other within 50 ms", async () => {
  let leastMs = Number.POSITIVE_INFINITY;
  // A busy host adds to a time and never takes from it: the best of a few is what the fabric needs.
  for (let attempt = 0; attempt < 10 && leastMs >= 50; attempt += 1) {
    const path = await cluster.node("en-1").plane.paths.open(cluster.request(hops));
    const end = await farEnd(path, "eg-1");
    const gone = closed(end.raw);
    const startedMs = performance.now();
    path.raw.resetAndDestroy();
    await gone;
    leastMs = Math.min(leastMs, performance.now() - startedMs);
  }
  expect(leastMs).toBeLessThan(50);
});
