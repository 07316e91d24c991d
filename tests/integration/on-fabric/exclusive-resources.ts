/**
 * Exclusive resources on real processes, two egresses in the pool: one entry at a time, whatever happens to the one that
 * holds. LAW-F3: what a paused holder still had to say reaches no target after its successor's fence.
 */

import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LeaseAdminService, LeaseState } from "../../../gen/weft/admin/v1/lease_pb.ts";
import { ListenerService } from "../../../gen/weft/admin/v1/listener_pb.ts";
import { NodeAdminService } from "../../../gen/weft/admin/v1/node_pb.ts";
import { PoolService } from "../../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../../gen/weft/admin/v1/resource_pb.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { loadOperatorContext } from "../../../rpc/operator-context.ts";
import { Call, data } from "../../harness/access-call.ts";
import { operatorOf } from "../../harness/control-process.ts";
import { runs } from "../../harness/counts.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

const leaseMs = 4_000;
/** Resources that are paused together: each is one run. */
const perPause = 5;

/** What reached the targets: whose line, in order, per resource. */
class Target {
  readonly lines: string[] = [];
  readonly server: Server;

  constructor() {
    this.server = createServer((socket) => {
      socket.on("error", () => {});
      let rest = "";
      socket.on("data", (chunk: Buffer) => {
        const parts = (rest + chunk.toString()).split("\n");
        rest = parts.pop() ?? "";
        this.lines.push(...parts);
        socket.write(chunk);
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    const address = this.server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }
}

/** A plain TCP client that says who it is until it is cut. */
class Speaker {
  readonly socket: Socket;
  heard = "";
  closed = false;
  #count = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(port: number, name: string) {
    this.socket = connect({ host: "127.0.0.1", port });
    const say = (): void => {
      this.#count += 1;
      this.socket.write(`${name} ${this.#count}\n`);
    };
    this.socket.once("connect", say);
    this.#timer = setInterval(say, 20);
    this.socket.on("data", (chunk: Buffer) => (this.heard += chunk.toString()));
    this.socket.on("error", () => {});
    this.socket.once("close", () => {
      this.closed = true;
      clearInterval(this.#timer);
    });
  }

  stop(): void {
    clearInterval(this.#timer);
    this.socket.destroy();
  }
}

interface Exclusive {
  readonly name: string;
  readonly id: string;
  readonly target: Target;
  /** By entry. */
  readonly ports: Readonly<Record<string, number>>;
}

let world: TestFabric;
let transport: ReturnType<typeof operatorOf>;
let clusterId: string;
const resources: Exclusive[] = [];
const speakers: Speaker[] = [];

const admin = () => rpcClient(LeaseAdminService, transport);
const speak = (port: number | undefined, name: string): Speaker => {
  const speaker = new Speaker(port ?? 0, name);
  speakers.push(speaker);
  return speaker;
};

/** Resources with a target and a listener at each entry. */
async function addExclusives(count: number): Promise<void> {
  const { nodes } = await rpcClient(NodeAdminService, transport).listNodes({ clusterId });
  const { pools } = await rpcClient(PoolService, transport).listPools({ clusterId });
  const pool = pools[0];
  for (let at = 0; at < count; at += 1) {
    const target = new Target();
    const port = await target.listen();
    const name = `only-${at}`;
    const { resource } = await rpcClient(ResourceService, transport).addResource({
      clusterId,
      organizationId: pool?.organizationId ?? "",
      poolId: pool?.id ?? "",
      name,
      host: "127.0.0.1",
      port,
      service: "ssh",
      exclusiveLeaseMs: BigInt(leaseMs),
    });
    for (const entry of ["entry-1", "entry-2"]) {
      await rpcClient(ListenerService, transport).addListener({
        clusterId,
        organizationId: pool?.organizationId ?? "",
        name: `${name}-${entry}`,
        resourceId: resource?.id ?? "",
        entryNodeId: nodes.find((node) => node.name === entry)?.id ?? "",
      });
    }
    resources.push({ name, id: resource?.id ?? "", target, ports: {} });
  }
  const bound = await eventually(
    async () => {
      const { listeners } = await rpcClient(ListenerService, transport).listListeners({ clusterId });
      const own = listeners.filter(({ name }) => name.startsWith("only-"));
      return own.length === 2 * count && own.every(({ boundAddress }) => boundAddress !== "") ? own : undefined;
    },
    { withinMs: 30_000, everyMs: 200, what: "listeners of exclusive resources" },
  );
  for (const { name, boundAddress } of bound) {
    const [, only = "", entry = ""] = /^(only-\d+)-(entry-\d)$/.exec(name) ?? [];
    const resource = resources.find((each) => each.name === only);
    Object.assign(resource?.ports ?? {}, { [entry]: Number(boundAddress.split(":").at(-1)) });
  }
}

beforeAll(async () => {
  world = await sharedFabric();
  const { contextDir } = world.fabric;
  const context = loadOperatorContext(contextDir);
  clusterId = context.defaultCluster;
  transport = operatorOf(contextDir, context.operatorAddress);
  await addExclusives(perPause);
}, fabricWithinMs);
afterAll(async () => {
  for (const speaker of speakers) speaker.stop();
  for (const session of sessions) session.destroy();
  for (const { target } of resources) target.server.close();
  transport?.close();
}, fabricWithinMs);

/** Connects through an entry again and again until the target answers. */
async function throughEntry(resource: Exclusive, entry: string, name: string): Promise<Speaker> {
  let speaker = speak(resource.ports[entry], name);
  await eventually(
    () => {
      if (speaker.heard !== "") return true;
      if (speaker.closed) speaker = speak(resource.ports[entry], name);
      return false;
    },
    { withinMs: 6 * leaseMs, everyMs: 50, what: `${entry} to reach ${resource.name}` },
  );
  return speaker;
}

interface ClientFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const sessions: ClientHttp2Session[] = [];

/** A call of AccessService at an entry. */
function callAt(entry: string, files: ClientFiles, resource: string): Call {
  const session = connectHttp2(`https://${world.publicAddress(entry)}`, {
    ca: readFileSync(files.ca),
    cert: readFileSync(files.cert),
    key: readFileSync(files.key),
    minVersion: "TLSv1.3",
  });
  session.on("error", () => {});
  sessions.push(session);
  return new Call(session).send({ case: "open", value: { resource } });
}

/** How a call ends; undefined when its connection was not taken, as before the entry knows the client. */
async function failureOf(call: Call) {
  const ended = () => call.closed || call.trailers !== undefined;
  await eventually(ended, { withinMs: 3_000, what: "the call's end" }).catch(() => call.stream.destroy());
  return call.trailers === undefined ? undefined : await call.failure();
}

async function lease(resource: Exclusive) {
  const { lease: found, tenures } = await admin().getLease({ clusterId, name: `resource/${resource.id}` });
  if (found === undefined) throw new Error("no lease");
  return { ...found, tenures };
}

describe("an exclusive resource", () => {
  it("M-W2 has one entry at a time: the other's clients are told, and operators see who holds", async () => {
    const [resource] = resources as [Exclusive];
    const first = await throughEntry(resource, "entry-1", "A");
    const files = await world.addClient("someone");
    // Its entry learns of the client with its next snapshot.
    const refusal = await eventually(
      async () => {
        const failure = await failureOf(callAt("entry-2", files, resource.name));
        return failure?.detail === "LEASE_HELD" ? failure : undefined;
      },
      { withinMs: 20_000, everyMs: 200, what: "a refusal that says why" },
    );
    expect(refusal.text).toContain("in use through another entry");
    const second = speak(resource.ports["entry-2"], "B");
    await eventually(() => second.closed, { what: "the other's client to be cut" });
    expect(resource.target.lines.some((line) => line.startsWith("B"))).toBe(false);
    expect(first.closed).toBe(false);

    const shown = await world.weft("lease", "show", resource.name, "--json");
    expect(JSON.parse(shown.stdout)).toMatchObject({
      lease: { state: LeaseState.HELD, holderName: "entry-1", fence: { epoch: 1, counter: 1 } },
    });

    const listed = await world.weft("lease", "list", "--prefix", "resource/");
    expect(listed.stdout).toMatch(new RegExp(`resource/${resource.id} +held +entry-1 .* in \\d`));

    // Fenced: it ends with its reason, and the next who asks has it, under a higher fence.
    const held = await eventually(
      async () => {
        const call = callAt("entry-1", files, resource.name).send(data("C 1\n"));
        await eventually(() => call.closed || call.trailers !== undefined || call.kinds[0] === "opened", {
          what: "an answer",
        });
        return call.kinds[0] === "opened" ? call : undefined;
      },
      { withinMs: 20_000, everyMs: 200, what: "a channel through the holder" },
    );
    const fenced = await world.weft("lease", "fence", resource.name, "--json");
    expect(JSON.parse(fenced.stdout)).toMatchObject({ changed: true, lease: { state: LeaseState.FENCED } });
    expect((await admin().fenceLease({ clusterId, name: `resource/${resource.id}` })).changed).toBe(false);
    expect(await held.failure()).toMatchObject({ detail: "FENCED" });
    await eventually(() => first.closed, { what: "the fenced entry's client to be cut" });
    const third = await throughEntry(resource, "entry-2", "D");
    const after = await lease(resource);
    expect(after).toMatchObject({ holderName: "entry-2", fence: { counter: 3n } });
    expect(after.tenures.map(({ end, endedBy }) => [end, endedBy !== ""])).toEqual([
      [0, false],
      [3, true],
      [3, true],
    ]);
    third.stop();
  }, 60_000);

  it(
    "LAW-F3 L1 takes nothing of a paused holder's once its successor's fence was seen",
    async () => {
      const pauses = runs(1, 1_000 / perPause);
      let accepted = 0;
      for (let round = 1; round <= pauses; round += 1) {
        const [from, to] = round % 2 === 1 ? (["entry-1", "entry-2"] as const) : (["entry-2", "entry-1"] as const);
        const old = `old${round}`;
        const olds = await Promise.all(resources.map((resource) => throughEntry(resource, from, old)));
        const before = await Promise.all(resources.map(lease));
        const { pid } = world.fabric.process(from);
        const pausedMs = performance.now();
        process.kill(pid, "SIGSTOP");
        try {
          const news = await Promise.all(resources.map((resource) => throughEntry(resource, to, `new${round}`)));
          await eventually(() => performance.now() - pausedMs > 2 * leaseMs, { withinMs: 60_000, what: "two leases" });
          const raised = resources.map(({ target }) => target.lines.length);
          process.kill(pid, "SIGCONT");
          // The woken one gives up by its own clock, and cuts its clients.
          await eventually(() => olds.every(({ closed }) => closed), {
            withinMs: 20_000,
            what: "the old clients' end",
          });
          const late = resources.map((resource) => speak(resource.ports[from], old));
          await eventually(() => late.every(({ closed }) => closed), { withinMs: 20_000, what: "refusals" });
          for (const [at, resource] of resources.entries()) {
            const { lines } = resource.target;
            const first = lines.findIndex((line) => line.startsWith(`new${round} `));
            accepted += lines.slice(first).filter((line) => line.startsWith(`${old} `)).length;
            expect(first).toBeGreaterThanOrEqual(0);
            // The new holder goes on meanwhile.
            await eventually(() => lines.length > (raised[at] ?? 0), { what: "more of the new holder's" });
            const after = await lease(resource);
            expect(after.fence?.counter).toBeGreaterThan(before[at]?.fence?.counter ?? 0n);
            expect(after.holderName).toBe(to);
          }
          for (const speaker of news) speaker.stop();
        } finally {
          process.kill(pid, "SIGCONT");
        }
      }
      console.info(`paused holders: ${pauses * perPause} runs, ${accepted} old lines accepted after the raise`);
      expect(accepted).toBe(0);
    },
    24 * 3_600_000,
  );
});
