/** LAW-R3 at control: what strangers and hostile peers can make it do, and that it goes on serving meanwhile. */

import { once } from "node:events";
import http2, { type ClientHttp2Session, constants } from "node:http2";
import net, { type Socket } from "node:net";
import tls from "node:tls";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { certificatePem } from "../../certs/material.ts";
import { joinServerName } from "../../fabric/server-names.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { grpcMessage, rawRequest } from "../harness/served-surface.ts";

let control: TestControl;
beforeAll(async () => {
  control = await startTestControl();
});
afterAll(async () => {
  await control[Symbol.asyncDispose]();
});

const endpoint = (address: string): { host: string; port: number } => {
  const [host = "", port] = address.split(":");
  return { host, port: Number(port) };
};

async function connect(): Promise<Socket> {
  const socket = net.connect(endpoint(control.running.publicAddress));
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket.resume();
}

/** The ClientHello a TLS client would send, and nothing more. */
async function clientHello(servername: string): Promise<Buffer> {
  const sink = net.createServer();
  sink.listen(0, "127.0.0.1");
  await once(sink, "listening");
  const received = new Promise<Buffer>((resolve) => {
    sink.once("connection", (socket) => socket.once("data", (bytes: Buffer) => resolve(bytes)));
  });
  const client = tls.connect({ port: (sink.address() as net.AddressInfo).port, servername, minVersion: "TLSv1.3" });
  client.on("error", () => {});
  const hello = await received;
  client.destroy();
  sink.close();
  return hello;
}

async function operatorSession(): Promise<ClientHttp2Session> {
  const { leaf } = loadOperatorContext(control.contextDir);
  const roots = control.outcome.bundle.roots.filter(({ kind }) => kind === RootKind.CONTROL);
  const session = http2.connect(`https://${control.running.operatorAddress}`, {
    ca: roots.map(({ certificateDer }) => certificatePem(certificateDer)),
    key: leaf.keyPem,
    cert: leaf.certificatePem,
    checkServerIdentity: () => undefined,
  });
  session.on("error", () => {});
  await once(session, "connect");
  return session;
}

/** Operators are served as if nothing happened. */
async function stillServing(): Promise<void> {
  const transport = control.operator();
  expect((await rpcClient(ClusterService, transport).listClusters({})).clusters).toHaveLength(1);
  transport.close();
}

const tcpHandles = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;

describe("LAW-R3 strangers", () => {
  test.each([
    ["garbage", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a TLS record that is no hello", Buffer.from([0x16, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["an endless hello", Buffer.concat([Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff]), Buffer.alloc(20_000)])],
  ])("%s is closed at once", async (_name, bytes) => {
    const socket = await connect();
    socket.write(bytes);
    await once(socket, "close");
    await stillServing();
  });

  test("silence is closed after the peek's deadline", async () => {
    const socket = await connect();
    const startedMs = performance.now();
    await once(socket, "close");
    expect(performance.now() - startedMs).toBeLessThan(limits.peekDeadlineMs * 2);
  });

  test("one source holds a bounded number of looks, and silence keeps nobody out", async () => {
    const idle = await Promise.all(Array.from({ length: limits.peekPerSourceMaxCount }, () => connect()));
    const beyond = await connect();
    await Promise.race(idle.map((socket) => once(socket, "close")));
    expect(beyond.destroyed).toBe(false);
    await stillServing();
    for (const socket of [...idle, beyond]) socket.destroy();
  });

  test("REVIEW-6 THR-C18 one source that stalls its handshakes takes no more than its part of the line", async () => {
    const hello = await clientHello(joinServerName("default"));
    const most = limits.handshakesWaitingPerSourceMaxCount;
    const stalled = await Promise.all(Array.from({ length: most + 60 }, () => connect()));
    let closedCount = 0;
    for (const socket of stalled) {
      socket.once("close", () => {
        closedCount += 1;
      });
      socket.write(hello);
    }
    await eventually(() => closedCount >= 40, { what: "the surplus refused" });
    expect(closedCount).toBeLessThanOrEqual(60);
    for (const socket of stalled) socket.destroy();
    await eventually(async () => {
      await stillServing();
      return true;
    });
  });

  test("one source holds a bounded number of joining sessions", async () => {
    const sessions = Array.from({ length: limits.joiningSessionsPerSourceMaxCount + 20 }, () =>
      http2.connect(`https://${control.running.publicAddress}`, {
        servername: joinServerName("default"),
        rejectUnauthorized: false,
      }),
    );
    let closedCount = 0;
    for (const session of sessions) {
      session.on("error", () => {});
      session.once("close", () => {
        closedCount += 1;
      });
    }
    await eventually(() => closedCount >= 20, { what: "the surplus refused" });
    expect(control.running.surfaces.join.sessionCount()).toBe(limits.joiningSessionsPerSourceMaxCount);
    for (const session of sessions) session.destroy();
    await eventually(() => control.running.surfaces.join.sessionCount() === 0, { what: "every session gone" });
  });

  test("a right hello and then FIN leaves nothing behind within a second", async () => {
    const hello = await clientHello(joinServerName("default"));
    const before = tcpHandles();
    for (let round = 0; round < 5; round += 1) {
      const sockets = await Promise.all(Array.from({ length: 40 }, () => connect()));
      for (const socket of sockets) socket.end(hello);
      await Promise.all(sockets.map((socket) => (socket.destroyed ? undefined : once(socket, "close"))));
    }
    await eventually(() => tcpHandles() <= before, { withinMs: 3_000, what: "every socket gone" });
    await stillServing();
  });

  test("a joining session has few streams and a small body", async () => {
    const session = http2.connect(`https://${control.running.publicAddress}`, {
      servername: joinServerName("default"),
      rejectUnauthorized: false,
    });
    session.on("error", () => {});
    await once(session, "connect");
    await eventually(() => session.remoteSettings.maxConcurrentStreams === limits.joiningStreamsMaxCount);
    const big = grpcMessage(new Uint8Array(limits.joiningBodyMaxBytes + 1));
    const answer = await rawRequest(session, "/weft.enrollment.v1.EnrollmentService/Enroll", big);
    expect(answer.status).toBe("8");
    session.destroy();
  });

  test("THR-E13 a source that tries to join too often is told so", async () => {
    const session = http2.connect(`https://${control.running.publicAddress}`, {
      servername: joinServerName("default"),
      rejectUnauthorized: false,
    });
    session.on("error", () => {});
    await once(session, "connect");
    const statuses: (string | undefined)[] = [];
    for (let i = 0; i < limits.joinAttemptsPerSourcePerSecond * 4; i += 1) {
      const forged = { "x-forwarded-for": `10.0.0.${i}` };
      statuses.push(
        (await rawRequest(session, "/weft.enrollment.v1.EnrollmentService/Enroll", undefined, forged)).status,
      );
    }
    expect(statuses).toContain("8");
    session.destroy();
  });
});

describe("hostile peers with a certificate", () => {
  test("rapid reset ends the session, nobody else's", async () => {
    const session = await operatorSession();
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    const flood = (): void => {
      for (let i = 0; i < 100 && !session.destroyed; i += 1) {
        const stream = session.request({
          ":method": "POST",
          ":path": "/grpc.health.v1.Health/Watch",
          "content-type": "application/grpc",
        });
        stream.on("error", () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      if (!session.destroyed) setImmediate(flood);
    };
    flood();
    await closed;
    await stillServing();
  });

  test("a bomb is RESOURCE_EXHAUSTED before it is inflated, broken gzip an error, the session lives", async () => {
    const session = await operatorSession();
    const path = "/weft.admin.v1.ClusterService/GetCluster";
    const compressed = (bytes: Buffer): Buffer => {
      const message = grpcMessage(bytes);
      message[0] = 1;
      return message;
    };
    const encoding = { "grpc-encoding": "gzip" };
    // Members one after another inflate to their sum: 200 MiB.
    const member = gzipSync(Buffer.alloc(1024 * 1024));
    const bomb = compressed(Buffer.concat(Array.from({ length: 200 }, () => member)));
    const beforeBytes = process.memoryUsage().arrayBuffers;
    expect((await rawRequest(session, path, bomb, encoding)).status).toBe("8");
    expect(process.memoryUsage().arrayBuffers - beforeBytes).toBeLessThan(64 * 1024 * 1024);
    const broken = await rawRequest(session, path, compressed(Buffer.from("not gzip at all")), encoding);
    expect(["3", "13"]).toContain(broken.status);
    expect((await rawRequest(session, "/grpc.health.v1.Health/Check")).status).toBe("0");
    session.destroy();
  });

  test("a header list beyond the bound does not reach a handler", async () => {
    const session = await operatorSession();
    const huge = { "x-padding": "a".repeat(limits.rpcHeaderListMaxBytes * 2) };
    const answer = await rawRequest(session, "/grpc.health.v1.Health/Check", undefined, huge);
    expect(answer.status).not.toBe("0");
    session.destroy();
    await stillServing();
  });

  test("REVIEW-5 a killed peer is noticed at once: its session is gone when its socket is", async () => {
    const session = await operatorSession();
    expect((await rawRequest(session, "/grpc.health.v1.Health/Check")).status).toBe("0");
    const before = control.running.surfaces.operator.sessionCount();
    session.destroy();
    await eventually(() => control.running.surfaces.operator.sessionCount() < before, { withinMs: 1_000 });
  });
});
