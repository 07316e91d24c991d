/** The grpc-js transport against a surface, over real TLS. */

import { once } from "node:events";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { createGzip } from "node:zlib";
import type { ConnectRouter } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LeafOf } from "../../../certs/material.ts";
import { tlsOptions } from "../../../certs/tls-options.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ChannelService } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { LeaseService } from "../../../gen/weft/lease/v1/lease_pb.ts";
import { type Clock, ManualClock, systemClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { kCaller } from "../../../rpc/caller.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { controlTransport } from "../../../rpc/grpc-js-transport.ts";
import { HealthState } from "../../../rpc/health.ts";
import { eventually } from "../../harness/eventually.ts";
import { freePort } from "../../harness/loopback.ts";
import { type ServedSurface, serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";
import { echoBatches, twoServices } from "../../harness/two-services.ts";

const routes = (router: ConnectRouter): void => {
  router.service(LeaseService, {
    get(request, context) {
      if (request.name === "gone") {
        throw new WeftError("failed_precondition", "the lease is höld", { detail: "LEASE_HELD", metadata: { a: "b" } });
      }
      return { lease: { name: request.name, holderNodeId: context.values.get(kCaller).serialHex ?? "" } };
    },
  });
  echoBatches(router);
};

let trust: TestTrust;
let node: LeafOf<"node">;
let served: ServedSurface;
const health = new HealthState();

beforeAll(async () => {
  trust = await TestTrust.create();
  node = await trust.leaf("node", "nd-1");
  served = await serveSurface(trust, { arrivedBy: "control", routes, policy: twoServices, health });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

function transport(addresses: readonly string[], leaf: () => LeafOf<"node"> = () => node, clock: Clock = systemClock) {
  return controlTransport({
    addresses,
    serverName: "localhost",
    tls: () => tlsOptions("dial-control", { identity: leaf(), expect: trust.expect("control") }),
    clock,
    log: silentLog,
  });
}

async function* anyHealth(): AsyncGenerator<{ service: string }> {
  yield { service: "" };
}

describe("controlTransport", () => {
  test("judges a server by its name where the options bring no judge of their own", async () => {
    const material = { identity: node, expect: trust.expect("control") };
    const { checkServerIdentity: _judge, ...tls } = tlsOptions("dial-control", material);
    const isServed = (serverName: string): Promise<boolean> => {
      const at = { addresses: [`127.0.0.1:${served.port}`], serverName };
      const calls = controlTransport({ ...at, tls: () => tls, clock: systemClock, log: silentLog });
      const answer = rpcClient(Health, calls).check({}, { timeoutMs: 3_000 });
      return answer.then(Boolean, () => false).finally(() => calls.close());
    };
    expect([await isServed("localhost"), await isServed("elsewhere.invalid")]).toEqual([true, false]);
  });

  test("unary, with errors as the server gave them", async () => {
    const control = transport([`127.0.0.1:${served.port}`]);
    const client = rpcClient(LeaseService, control);
    expect((await client.get({ name: "a" })).lease).toMatchObject({ name: "a", holderNodeId: node.serialHex });
    expect(control.connected()).toBe(true);
    await expect(client.get({ name: "gone" })).rejects.toMatchObject({
      reason: "failed_precondition",
      detail: "LEASE_HELD",
      message: "the lease is höld",
      metadata: { a: "b" },
    });
    await expect(client.acquire({ name: "a" })).rejects.toMatchObject({ reason: "unimplemented" });
    control.close();
  });

  test("who gives up does not wait for a control that says nothing", async () => {
    const sockets = new Set<Socket>();
    let isSilent = true;
    const silent = createServer((socket) => {
      sockets.add(socket.on("error", () => {}));
      if (isSilent) return;
      const onwards = connect(served.port, "127.0.0.1").on("error", () => {});
      sockets.add(onwards);
      socket.pipe(onwards).pipe(socket);
    }).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const noTimers: Clock = { ...systemClock, after: () => ({ cancel() {} }) };
    const control = transport([`127.0.0.1:${(silent.address() as AddressInfo).port}`], () => node, noTimers);
    const aborter = new AbortController();
    const ends = Promise.allSettled([
      rpcClient(LeaseService, control).get({ name: "a" }, { signal: aborter.signal }),
      rpcClient(Health, control).watch({ service: "" }, { signal: aborter.signal })[Symbol.asyncIterator]().next(),
    ]);
    await eventually(() => sockets.size > 0, { what: "a connection" });
    aborter.abort();
    for (const end of await ends) expect(end).toMatchObject({ reason: { reason: "canceled" } });
    // Neither counts as under way any more: under a new identity nobody waits for them, and no timer would end that here.
    isSilent = false;
    control.rotate();
    expect(await rpcClient(LeaseService, control).get({ name: "a" })).toMatchObject({ lease: { name: "a" } });
    control.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  test("who gives up is heard at whatever step of the beginning of a call", async () => {
    const control = transport([`127.0.0.1:${served.port}`]);
    await rpcClient(Health, control).check({});
    for (let steps = 0; steps < 12; steps += 1) {
      const aborter = new AbortController();
      let isOver = false;
      // The transport itself: what lies above it hears the caller too, and would hide that a call goes on.
      const call = control.stream(Health.method.watch, aborter.signal, undefined, undefined, anyHealth());
      const over = call.then(({ message }) => message[Symbol.asyncIterator]().next()).then(({ done }) => done);
      const end = (): void => {
        isOver = true;
      };
      over.then(end, end);
      for (let at = 0; at < steps; at += 1) await Promise.resolve();
      aborter.abort();
      await eventually(() => isOver, { what: `the end of a call given up after ${steps} steps` });
      await expect(over).rejects.toThrow();
    }
    control.close();
  });

  test("server streams and their cancellation", async () => {
    const control = transport([`127.0.0.1:${served.port}`]);
    const client = rpcClient(Health, control);
    const aborter = new AbortController();
    const seen: number[] = [];
    const watching = (async () => {
      for await (const { status: now } of client.watch({ service: "" }, { signal: aborter.signal })) {
        seen.push(now);
        if (seen.length === 1) health.set("", false);
        if (seen.length === 2) aborter.abort();
      }
    })();
    await expect(watching).rejects.toMatchObject({ reason: "canceled" });
    expect(seen).toEqual([1, 2]);
    health.set("", true);
    control.close();
  });

  test("bidirectional streams, back to back", async () => {
    const control = transport([`127.0.0.1:${served.port}`]);
    const client = rpcClient(ChannelService, control);
    async function* batches() {
      for (let seq = 0n; seq < 50n; seq += 1n) {
        yield {
          batch: { seq, frames: [{ channelId: 1, body: { case: "data" as const, value: new Uint8Array(20_000) } }] },
        };
      }
    }
    let expected = 0n;
    for await (const { batch } of client.echo(batches())) {
      expect(batch?.seq).toBe(expected);
      expected += 1n;
    }
    expect(expected).toBe(50n);
    control.close();
  });

  test("goes to the address that answers, and back when it must", async () => {
    const dead = await freePort();
    const second = await serveSurface(trust, { arrivedBy: "control", routes, policy: twoServices });
    const control = transport([`127.0.0.1:${dead}`, `127.0.0.1:${second.port}`, `127.0.0.1:${served.port}`]);
    const client = rpcClient(LeaseService, control);
    expect((await client.get({ name: "a" })).lease?.name).toBe("a");
    await second[Symbol.asyncDispose]();
    await eventually(async () => (await client.get({ name: "b" })).lease?.name === "b");
    control.close();
  });

  test("does not stay with a replica that only says it cannot, once another one is there", async () => {
    const waiting = (router: ConnectRouter): void => {
      router.service(LeaseService, {
        get() {
          throw new WeftError("unavailable", "the store cannot be reached", { detail: "STORE_UNAVAILABLE" });
        },
      });
    };
    const first = await serveSurface(trust, { arrivedBy: "control", routes: waiting, policy: twoServices });
    const sockets = new Set<Socket>();
    const gate = createServer((near) => {
      const far = connect({ host: "127.0.0.1", port: served.port });
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.pipe(to);
        from.on("error", () => to.destroy());
      }
    });
    const open = async (port: number): Promise<void> => {
      await new Promise<void>((resolve) => gate.listen(port, "127.0.0.1", resolve));
    };
    const port = await freePort();
    await open(port);
    const control = transport([`127.0.0.1:${first.port}`, `127.0.0.1:${port}`]);
    const client = rpcClient(LeaseService, control);
    const answers = (name: string) => client.get({ name }).then(({ lease }) => lease?.name === name);
    await eventually(() => answers("a"));
    // The other one goes, and with it every wish to connect; then it comes back.
    const gone = new Promise((resolve) => gate.close(resolve));
    for (const socket of sockets) socket.destroy();
    await gone;
    await eventually(async () => {
      const thrown: unknown = await client.get({ name: "b" }).catch((error: unknown) => error);
      return thrown instanceof WeftError && thrown.detail === "STORE_UNAVAILABLE";
    });
    await open(port);
    await eventually(() => answers("c"));
    control.close();
    for (const socket of sockets) socket.destroy();
    gate.close();
    await first[Symbol.asyncDispose]();
  });

  test("without any control it says unavailable within the deadline", async () => {
    const control = transport([`127.0.0.1:${await freePort()}`]);
    const startedMs = performance.now();
    await expect(rpcClient(LeaseService, control).get({ name: "a" }, { timeoutMs: 300 })).rejects.toMatchObject({
      reason: "unavailable",
    });
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    control.close();
  });

  test("rotate: the next call shows the new certificate, calls in flight finish", async () => {
    let leaf = node;
    const control = transport([`127.0.0.1:${served.port}`], () => leaf);
    const client = rpcClient(LeaseService, control);
    const watch = rpcClient(Health, control).watch({ service: "" })[Symbol.asyncIterator]();
    await watch.next();
    leaf = await trust.leaf("node", "nd-1");
    control.rotate();
    expect((await client.get({ name: "a" })).lease?.holderNodeId).toBe(leaf.serialHex);
    health.set("", false);
    expect(await watch.next()).toMatchObject({ value: { status: 2 } });
    health.set("", true);
    await watch.return?.();
    control.close();
  });

  test("rotate: the new identity is not used before calls under the old one are answered", async () => {
    const asked: string[] = [];
    const answer = Promise.withResolvers<void>();
    const slow = await serveSurface(trust, {
      arrivedBy: "control",
      policy: twoServices,
      routes: (router) => {
        router.service(LeaseService, {
          async get({ name }) {
            asked.push(name);
            if (name === "slow") await answer.promise;
            return { lease: { name } };
          },
        });
      },
    });
    let leaf = node;
    const control = transport([`127.0.0.1:${slow.port}`], () => leaf);
    const client = rpcClient(LeaseService, control);
    const first = client.get({ name: "slow" });
    await eventually(() => asked.length === 1);
    leaf = await trust.leaf("node", "nd-1");
    control.rotate();
    const second = client.get({ name: "next" });
    // Whoever comes meanwhile is answered: so would the call have been, on a connection made for it.
    for (const name of ["one", "two"]) {
      const other = transport([`127.0.0.1:${slow.port}`]);
      await rpcClient(LeaseService, other).get({ name });
      other.close();
    }
    expect(asked).toEqual(["slow", "one", "two"]);
    // The old connection and no other, however long the answer takes.
    await eventually(() => slow.surface.sessionCount() === 1);
    answer.resolve();
    expect((await first).lease?.name).toBe("slow");
    expect((await second).lease?.name).toBe("next");
    control.close();
    await slow[Symbol.asyncDispose]();
  });

  test("LAW-I4 channels are made anew half way to the end of the leaf that the server showed", async () => {
    const clock = new ManualClock(Date.now());
    const control = transport([`127.0.0.1:${served.port}`], () => node, clock);
    const client = rpcClient(LeaseService, control);
    const lifeMs = 24 * 3_600_000;
    const before = new Set(served.surface.sessions());
    await client.get({ name: "a" });
    const [made] = [...served.surface.sessions()].filter((each) => !before.has(each));
    clock.advance(lifeMs / 2 - 60_000);
    expect(control.connected()).toBe(true);
    clock.advance(120_000);
    expect(control.connected()).toBe(false);
    await eventually(() => made?.session.closed === true);
    control.close();
  });

  test("THR-S5 a message that would unfold to more than it may is refused, and never unfolds", async () => {
    const gzip = createGzip();
    const packed = buffer(gzip);
    const block = Buffer.alloc(1_048_576);
    for (let at = 0; at < 100; at += 1) gzip.write(block);
    gzip.end();
    const bomb = await packed;
    expect(bomb.length).toBeLessThan(limits.snapshotMaxBytes);
    const head = Buffer.alloc(5, 1);
    head.writeUInt32BE(bomb.length, 1);
    const control = await trust.leaf("control", "ct-1");
    const [key, cert] = [control.keyPem, control.certificatePem];
    const server = createSecureServer({ key, cert, ca: trust.ca("node").root.pem, requestCert: true });
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-encoding": "gzip" });
      stream.write(head);
      stream.write(bomb);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const calling = transport([`127.0.0.1:${(server.address() as AddressInfo).port}`]);
    const before = process.memoryUsage().arrayBuffers;
    await expect(rpcClient(LeaseService, calling).get({ name: "a" })).rejects.toMatchObject({
      reason: "resource_exhausted",
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1_048_576);
    calling.close();
    server.close();
  });

  test("a server that is not the expected control is not called", async () => {
    const foreign = await TestTrust.create("cl-two");
    const control = controlTransport({
      addresses: [`127.0.0.1:${served.port}`],
      serverName: "localhost",
      tls: () =>
        tlsOptions("dial-control", {
          identity: node,
          expect: trust.expect("control", { clusterId: foreign.clusterId }),
        }),
      clock: systemClock,
      log: silentLog,
    });
    await expect(rpcClient(LeaseService, control).get({ name: "a" }, { timeoutMs: 500 })).rejects.toMatchObject({
      reason: "unavailable",
    });
    control.close();
  });
});
