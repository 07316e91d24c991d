import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { encodeLegPreamble, encodeReversePreamble } from "../../fabric/preamble.ts";
import { linkServerName } from "../../fabric/server-names.ts";
import { KiB, limits, MiB } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import { eventually } from "../harness/eventually.ts";
import { type PlaneCluster, type PlaneNode, startCluster } from "../harness/plane-cluster.ts";
import { clientHello, knock } from "../harness/raw-client.ts";
import { closed } from "../harness/socket-pairs.ts";

let cluster: PlaneCluster;
let relay: PlaneNode;
beforeAll(async () => {
  cluster = await startCluster([
    { id: "en-1", role: "entry" },
    { id: "re-1", role: "relay" },
    { id: "eg-1", role: "egress" },
  ]);
  relay = cluster.node("re-1");
});
afterAll(async () => await cluster.close());

/** TCP handles of this process; the strangers' own ends included. */
function handles(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}

async function back(toHandles: number): Promise<void> {
  await eventually(() => handles() <= toHandles, { what: `handles back to ${toHandles}` });
}

it("LAW-R3 first bytes that are nothing are closed at once", async () => {
  const before = relay.ports.counters.peeksRefused;
  const base = handles();
  for (const bytes of ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "WEFT\x03", "WEFU", "\x16\x02", "\x00"]) {
    const socket = await knock(relay.address, Buffer.from(bytes, "latin1"));
    await closed(socket.once("end", () => socket.end()));
  }
  expect(relay.ports.counters.peeksRefused).toBe(before + 6);
  await back(base);
});

it("LAW-R3 a stranger that sends 1 MB is cut after what the peek may hold", async () => {
  const base = handles();
  // A record that promises more than it brings, so that the bytes alone decide.
  const hello = Buffer.alloc(1 * MiB, 0);
  Buffer.from("160301400001003ffc0303", "hex").copy(hello);
  const socket = await knock(relay.address, hello);
  await closed(socket);
  expect(socket.bytesWritten).toBeGreaterThan(limits.peekMaxBytes);
  await back(base);
});

it("LAW-R3 first bytes that never complete are closed at the deadline", async () => {
  const base = handles();
  const startedMs = performance.now();
  const sockets = await Promise.all(
    ["", "W", "WEFT\x01half a token", "\x16\x03\x01\x02\x00\x01"].map((bytes) =>
      knock(relay.address, Buffer.from(bytes, "latin1")),
    ),
  );
  await Promise.all(sockets.map((socket) => closed(socket.once("end", () => socket.end()))));
  expect(performance.now() - startedMs).toBeGreaterThan(limits.peekDeadlineMs - 100);
  expect(performance.now() - startedMs).toBeLessThan(limits.peekDeadlineMs + 1_500);
  await back(base);
});

it("LAW-R3 REVIEW-24 one source prefix is not looked at more often than its share", async () => {
  const base = handles();
  const before = relay.ports.counters.peeksRefused;
  const sockets = await Promise.all(
    Array.from({ length: limits.peekPerSourceMaxCount + 20 }, () => knock(relay.address)),
  );
  await eventually(() => relay.ports.counters.peeksRefused - before === 20, { what: "the surplus refused" });
  for (const socket of sockets) socket.destroy();
  await back(base);
});

it("LAW-R3 REVIEW-6 a stranger without a name reaches no TLS: no server answers one byte", async () => {
  const names = [
    undefined,
    "localhost",
    "client.default.weft.internal",
    "re-1.default.weft.internal",
    linkServerName(`link-${"a".repeat(26)}`, "default"),
  ];
  for (const name of names) {
    const socket = await knock(relay.address, await clientHello(name));
    let answered = 0;
    socket.on("data", (data: Buffer) => {
      answered += data.length;
    });
    await closed(socket.once("end", () => socket.end()));
    expect([name, answered]).toEqual([name, 0]);
  }
});

it("LAW-R3 the five bytes of a reverse link open no door without the link name", async () => {
  const hello = await clientHello("localhost");
  const socket = await knock(relay.address, Buffer.concat([encodeReversePreamble(), hello]));
  let answered = 0;
  socket.on("data", (data: Buffer) => {
    answered += data.length;
  });
  await closed(socket.once("end", () => socket.end()));
  expect(answered).toBe(0);
});

it("LAW-R3 REVIEW-5 2 000 x (own ClientHello, FIN): handles back to baseline, memory bounded", async () => {
  const hello = await clientHello(linkServerName(relay.linkLabel, "default"));
  const base = handles();
  const rssBefore = process.memoryUsage.rss();
  for (let round = 0; round < 50; round++) {
    const sockets = await Promise.all(Array.from({ length: 40 }, () => knock(relay.address, hello)));
    const gone = sockets.map((socket) => closed(socket));
    for (const socket of sockets) socket.end();
    await Promise.all(gone);
  }
  await back(base);
  expect(relay.plane.doors.handshakesInFlight).toBe(0);
  expect(process.memoryUsage.rss() - rssBefore).toBeLessThan(160 * MiB);
}, 60_000);

it("LAW-R1 a token nobody gave, at once, twice, by many: closed and counted", async () => {
  const before = relay.ports.counters.tokensRefused;
  const base = handles();
  for (let i = 0; i < 20; i++) {
    const preamble = encodeLegPreamble(systemRandom.bytes(32));
    for (const socket of [await knock(relay.address, preamble), await knock(relay.address, preamble)])
      await closed(socket);
  }
  expect(relay.ports.counters.tokensRefused).toBe(before + 40);
  await back(base);
});

it("links live through all of it", async () => {
  expect(relay.plane.links.status().map((link) => link.state)).toEqual(["up", "up"]);
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(["en-1", "re-1", "eg-1"]));
  path.tls.write(Buffer.alloc(64 * KiB));
  const end = await eventually(() => cluster.node("eg-1").ends.at(-1));
  await once(end.tls, "data");
  path.close();
});

it("LAW-R3 strangers that hold every look in silence keep no path out", async () => {
  const base = handles();
  const sockets = await Promise.all(
    Array.from({ length: limits.peekPerSourceMaxCount + 20 }, () => knock(relay.address, Buffer.from("WEF"))),
  );
  const { ends } = cluster.node("eg-1");
  const endsBefore = ends.length;
  const path = await cluster.node("en-1").plane.paths.open(cluster.request(["en-1", "re-1", "eg-1"]));
  path.tls.write("through");
  const end = await eventually(() => ends[endsBefore]);
  expect(String((await once(end.tls, "data"))[0])).toBe("through");
  path.close();
  for (const socket of sockets) socket.destroy();
  await back(base);
});
