/**
 * LAW-I4 and THR-C1 on real processes: certificates that live for seconds are renewed again and again under hashed traffic, and nothing is
 * lost; a copy of a node's key is evicted by the node's own renewal, and told of. A soak runs ten minutes with leaves of 20 s.
 */

import { X509Certificate } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VerifiedStream } from "../../cli/up/stream.ts";
import { type Client, connect } from "../../client/connect.ts";
import { agree, bringLeg, StolenNode } from "../../conformance/attack/stolen-node.ts";
import { clientServerName, controlServerName, joinServerName } from "../../fabric/server-names.ts";
import { FarEdge } from "../../gen/weft/relay/v1/relay_pb.ts";
import { isSoak } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { type Shaken, shake } from "../harness/handshakes.ts";

const leafLifeSeconds = isSoak ? 20 : 12;
const trafficMs = isSoak ? 600_000 : 20_000;
/** What runs at once on a few cores has to fit beside handshakes. */
const bytesPerSecond = 200_000;

let world: TestFabric;
let sdk: Client;
let clientDir: string;
beforeAll(async () => {
  world = await startTestFabric({ leafLives: { leafLifeSeconds, clientLeafLifeSeconds: leafLifeSeconds } });
  await world.addClient("laptop");
  clientDir = join(world.scratch, "laptop");
  const entries = ["entry-1", "entry-2"].map((name) => world.publicAddress(name));
  sdk = connect({ identity: clientDir, entries });
}, fabricWithinMs * 2);
afterAll(async () => {
  await sdk?.close();
  await world?.stop();
}, fabricWithinMs * 2);

interface ListedNode {
  readonly id: string;
  readonly name: string;
  readonly certificateSerial: string;
  readonly alerts: readonly string[];
}

async function nodes(): Promise<readonly ListedNode[]> {
  const { stdout } = await world.weft("node", "list", "--json");
  return (JSON.parse(stdout) as { readonly nodes: readonly ListedNode[] }).nodes;
}

/** A copy of a node's key and certificate as they are now. */
function copied(name: string): StockFiles {
  const files = world.nodeFiles(name);
  const copy = { ca: files.ca, cert: `${files.cert}.copy`, key: files.key.replace(/key$/, "copy.key") };
  copyFileSync(files.cert, copy.cert);
  copyFileSync(files.key, copy.key);
  return copy;
}

/** Whoever holds the key comes to control with it. */
function knock({ cert, key }: StockFiles): TLSSocket {
  const [host, port] = [`127.0.0.1`, world.fabric.plan.control.publicPort];
  // Whom it meets is not what is looked at.
  const options = { host, port, cert: readFileSync(cert), key: readFileSync(key), rejectUnauthorized: false };
  // Read: the end of what is not read is never seen.
  const socket = connectTls({ ...options, minVersion: "TLSv1.3", ALPNProtocols: ["h2"] });
  return socket.on("error", () => {}).resume();
}

const closed = (socket: TLSSocket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** Somebody acts with a copy until the node itself has renewed, and comes again with it until it has run out. */
async function actWithCopy(): Promise<void> {
  const copy = copied("relay-1");
  await closed(knock(copy));
  const endMs = Date.now() + leafLifeSeconds * 1_000;
  while (Date.now() < endMs) {
    await closed(knock(copy));
    await delay(300);
  }
}

/** A door of a shipped process, and what a rightful peer shows there. */
interface DoorOfPort {
  readonly name: string;
  readonly port: number;
  readonly serverName: string;
  /** Absent: nobody is asked for a certificate there. */
  readonly shows?: StockFiles;
  /** How it is reached, where that is not by dialling its port. */
  readonly dial?: () => Promise<Socket>;
}

const stateDir = (node: string): string => join(world.fabric.root, "nodes", node, "state");

/** The ends of paths have no port: a path is opened to them through a relay, with the key of an entry. */
async function pathEnds(client: StockFiles): Promise<readonly DoorOfPort[]> {
  const { snapshot } = new StolenNode(stateDir("entry-2"));
  const egresses = world.fabric.plan.nodes.filter(({ role }) => role === "egress");
  return egresses.flatMap(({ name }) => {
    const { nodeId } = world.fabric.process(name).facts;
    const hop = snapshot.neighbours.find(({ name: relay }) => relay === "relay-1");
    const open = async (over: Parameters<StolenNode["offer"]>[1]): Promise<Socket> => {
      // As its folder is now: its certificate has been renewed since.
      const thief = new StolenNode(stateDir("entry-2"));
      const relay = thief.neighbour("relay-1");
      const link = await thief.link(relay);
      const hops = [thief.identity.nodeId, relay.nodeId, String(nodeId)];
      const agreed = await agree(link.relay, thief.offer(hops, over));
      const leg = await bringLeg(relay, agreed.token);
      leg.once("close", () => link.close());
      return leg;
    };
    // Links are replaced all the time here, and with one may go a path that is just being asked for.
    const dial = (over: Parameters<StolenNode["offer"]>[1]): Promise<Socket> =>
      eventually(() => open(over), { what: `a path to ${name}` });
    const poolId = snapshot.pools[0]?.poolId ?? "";
    const port = hop?.addresses[0]?.port ?? 0;
    const pool = { farEdge: FarEdge.POOL, poolId, askHash: Buffer.alloc(32, 1) };
    return [
      { name: `${name} path`, port, serverName: "", shows: world.nodeFiles("entry-2"), dial: () => dial({}) },
      { name: `${name} client's path`, port, serverName: "", shows: client, dial: () => dial(pool) },
    ];
  });
}

/** Every door behind every port of every process, and the ends of paths. */
async function doors(): Promise<readonly DoorOfPort[]> {
  const slug = "default";
  const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));
  const client = (file: string): string => join(clientDir, file);
  const laptop = { ca: client("servers.pem"), cert: client("client.crt"), key: client("client.key") };
  const { publicPort, operatorPort } = world.fabric.plan.control;
  const found: DoorOfPort[] = [
    { name: "control join", port: publicPort, serverName: joinServerName(slug) },
    { name: "control", port: publicPort, serverName: controlServerName(slug), shows: world.nodeFiles("relay-2") },
    { name: "control operator", port: operatorPort, serverName: "localhost", shows: world.operator },
  ];
  for (const { name, role, publicPort: nodePort } of world.fabric.plan.nodes) {
    const operatorAddress = portOf(world.operatorAddress(name));
    found.push({ name: `${name} operator`, port: operatorAddress, serverName: "localhost", shows: world.operator });
    if (nodePort === undefined) continue;
    const { subjectAltName = "" } = new X509Certificate(readFileSync(world.nodeFiles(name).cert));
    const serverName = /DNS:(link-[^,\s]+)/.exec(subjectAltName)?.[1] ?? "";
    const shows = world.nodeFiles(role === "relay" ? "entry-1" : "relay-2");
    found.push({ name: `${name} link`, port: nodePort, serverName, shows });
    if (role === "entry")
      found.push({ name: `${name} client`, port: nodePort, serverName: clientServerName(slug), shows: laptop });
  }
  return [...found, ...(await pathEnds(laptop))];
}

async function shakeAt({ port, serverName, dial }: DoorOfPort, more: ConnectionOptions): Promise<Shaken> {
  const over = dial === undefined ? {} : { socket: await dial() };
  return await shake(port, { ...(serverName === "" ? {} : { servername: serverName }), ...over, ...more });
}

type Ticket = readonly [DoorOfPort, Buffer];

/** Does something at every door; at those of one port one after the other, as strangers of one source may. */
async function atEveryDoor<T>(
  all: readonly DoorOfPort[],
  visit: (door: DoorOfPort) => Promise<T>,
): Promise<readonly T[]> {
  const visits = [...Map.groupBy(all, ({ port }) => port).values()].map(async (ofPort) => {
    const done: T[] = [];
    for (const door of ofPort) done.push(await visit(door));
    return done;
  });
  return (await Promise.all(visits)).flat();
}

/** A full handshake at every door, and what it could be resumed by. */
async function tickets(): Promise<readonly Ticket[]> {
  const found = await atEveryDoor(await doors(), async (door): Promise<readonly Ticket[]> => {
    const { cert, key } = door.shows ?? {};
    const shown = cert === undefined || key === undefined ? {} : { cert: readFileSync(cert), key: readFileSync(key) };
    const { secured, reused, sessions } = await shakeAt(door, { ...shown, minVersion: "TLSv1.3" });
    expect({ door: door.name, secured, reused }).toEqual({ door: door.name, secured: true, reused: false });
    const older = await shakeAt(door, { ...shown, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
    expect({ door: door.name, secured: older.secured }).toEqual({ door: door.name, secured: false });
    const session = sessions.at(-1);
    return session === undefined ? [] : [[door, session]];
  });
  return found.flat();
}

/** Whoever has nothing but a ticket is a stranger at every door. */
async function expectUseless(held: readonly Ticket[]): Promise<void> {
  expect(held.length).toBeGreaterThan(0);
  await atEveryDoor(
    held.map(([door]) => door),
    async (door) => {
      const session = held.find(([each]) => each === door)?.[1];
      for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
        const { reused } = await shakeAt(door, {
          ...(session === undefined ? {} : { session }),
          minVersion: "TLSv1.2",
          maxVersion,
        });
        expect({ door: door.name, maxVersion, reused }).toEqual({ door: door.name, maxVersion, reused: false });
      }
    },
  );
}

describe("certificates that live for seconds", () => {
  it("THR-C1 no session is ever resumed, at no port of any process and at no end of a path, before and after certificates were swapped", async () => {
    const before = await nodes();
    const held = await tickets();
    await expectUseless(held);
    const isSwapped = async (): Promise<boolean> =>
      (await nodes()).every(({ id, certificateSerial }) =>
        before.some((node) => node.id === id && node.certificateSerial !== certificateSerial),
      );
    await eventually(isSwapped, { withinMs: leafLifeSeconds * 4_000, everyMs: 500 });
    await expectUseless(held);
    await expectUseless(await tickets());
  }, 180_000);

  it(
    "LAW-I4 THR-C2 REVIEW-8 are renewed under hashed traffic without a byte lost; the copy of a key is evicted, and told of",
    async () => {
      const forward = await sdk.forward({ resource: "echo", port: 0 });
      const listeners = ["echo-entry-1", "echo-entry-2"].map((name) => world.fabric.listenerPort(name));
      const streams = [...listeners, forward.port].map((port) => new VerifiedStream(port, bytesPerSecond));
      const certificate = (): string => readFileSync(join(clientDir, "client.crt"), "utf8");
      const clientSerials = new Set([certificate()]);
      const serials = new Map<string, Set<string>>();
      const startedMs = performance.now();
      const copying = actWithCopy();
      while (performance.now() - startedMs < trafficMs) {
        for (const { name, certificateSerial } of await nodes())
          serials.set(name, (serials.get(name) ?? new Set()).add(certificateSerial));
        clientSerials.add(certificate());
        for (const stream of streams) expect(stream.counts().fault).toBeUndefined();
        await delay(500);
      }
      await copying;
      const renewals = Math.floor(trafficMs / (leafLifeSeconds * 1_000));
      expect([...serials.keys()]).toHaveLength(7);
      for (const [name, { size }] of serials) expect(size, name).toBeGreaterThan(renewals);
      expect(clientSerials.size).toBeGreaterThan(renewals);
      for (const stream of streams) expect((await stream.finish(30_000)).equal).toBe(true);
      await forward.close();
      const alerts = (await nodes()).map((node) => [
        node.name,
        node.alerts.filter((kind) => kind === "identity-cloned"),
      ]);
      expect(alerts.filter(([, kinds]) => kinds?.length !== 0).map(([name]) => name)).toEqual(["relay-1"]);
    },
    trafficMs + 120_000,
  );
});
