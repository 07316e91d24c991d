/** Trunks between two real TLS ends on loopback: bytes, half-closes, ends, back-pressure, killed connections, leaks. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:http2";
import type { Socket } from "node:net";
import { connect as connectTcp, createServer } from "node:net";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { stalledProducerMaxBytes } from "../../edge/channel.ts";
import type { EdgePath } from "../../edge/edge-path.ts";
import { pipeToTarget } from "../../edge/pipe-target.ts";
import { TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { Closers } from "../../lib/closers.ts";
import { WeftError } from "../../lib/errors.ts";
import { KiB, limits, MiB } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { seededRandom, systemRandom } from "../../lib/random.ts";
import type { EdgeListener, Identities } from "../harness/edge-paths.ts";
import { dialPath, listenForPaths, makeIdentities } from "../harness/edge-paths.ts";
import { eventually } from "../harness/eventually.ts";

const far = { farEdge: "egress", organizationId: "org" };
const openOf = (resource: string, channelClass: ChannelClass = ChannelClass.BULK): ChannelOpen => ({
  resource,
  class: channelClass,
  origin: undefined,
  correlationId: `c-${resource}`,
});

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

interface Edges {
  readonly pool: TrunkPool;
  readonly acceptor: TrunkAcceptor<string>;
  readonly listener: EdgeListener;
  readonly paths: EdgePath[];
  closedPaths: number;
}

const closers = new Closers();
afterEach(async () => {
  await closers.close();
});

/** Two edges; `serve` gets every channel at the far one. */
async function edges(serve: (channel: EdgeChannel) => void, accept: () => boolean = () => true): Promise<Edges> {
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    log: silentLog,
    accept,
    onChannel: (channel) => {
      channel.on("error", () => {});
      serve(channel);
    },
  });
  const listener = await listenForPaths(identities, (path) => acceptor.add(path));
  const made: Edges = {
    acceptor,
    listener,
    paths: [],
    closedPaths: 0,
    pool: new TrunkPool({
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      openPath: async () => {
        const path = await dialPath(identities, listener.port, () => {
          made.closedPaths += 1;
        });
        made.paths.push(path);
        return path;
      },
    }),
  };
  closers.add("listener", () => listener.close());
  closers.add("acceptor", () => acceptor.close());
  closers.add("pool", async () => {
    await made.pool.close();
    // Nothing is left behind, on either side.
    expect(made.paths.every((path) => path.raw.destroyed && path.tls.destroyed)).toBe(true);
    expect(made.closedPaths).toBe(made.paths.length);
    await eventually(() => listener.sockets.size === 0, { what: "the listener's sockets to close" });
    expect(made.pool.trunks()).toEqual([]);
    expect(acceptor.trunks()).toEqual([]);
  });
  return made;
}

const echo = (channel: EdgeChannel): void => {
  channel.accept();
  channel.copiesWrites = false;
  channel.pipe(channel);
};

/** Everything the far end sends until its half-close. */
async function textOf(channel: EdgeChannel): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function errorOf(channel: EdgeChannel): Promise<WeftError> {
  const [error] = await once(channel, "error");
  return error as WeftError;
}

describe("LAW-T1 bytes", () => {
  it("64 MiB each way arrive whole, and both ends half-close", async () => {
    const { pool } = await edges(echo);
    const channel = await pool.open(far, openOf("echo"));
    const sent = createHash("sha256");
    const got = createHash("sha256");
    let gotBytes = 0;
    channel.on("data", (chunk: Buffer) => {
      gotBytes += chunk.length;
      got.update(chunk);
    });
    const random = seededRandom(1);
    const block = Buffer.from(random.bytes(256 * KiB));
    for (let bytes = 0; bytes < 64 * MiB; bytes += block.length) {
      block.writeUInt32BE(bytes, 0);
      sent.update(block);
      // The buffer is used again at once after the callback: the channel must have its own copy by then.
      await new Promise<void>((resolve) => {
        channel.write(block, () => resolve());
      });
    }
    channel.end();
    await once(channel, "end");
    expect(gotBytes).toBe(64 * MiB);
    expect(got.digest("hex")).toBe(sent.digest("hex"));
    await eventually(() => pool.trunks()[0]?.stats().channelCount === 0, { what: "the channel to be forgotten" });
    await eventually(() => pool.trunks()[0]?.stats().replayBytes === 0, { what: "the last ack" });
  });

  it("many channels of both lanes share one trunk, each lane on a connection of its own", async () => {
    const made = await edges(echo);
    const random = seededRandom(2);
    const results = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const lane = i % 2 === 0 ? ChannelClass.BULK : ChannelClass.INTERACTIVE;
        const channel = await made.pool.open(far, openOf(`echo${i}`, lane));
        const payload = Buffer.from(random.bytes(1 + ((i * 7_919) % 100_000)));
        const chunks: Buffer[] = [];
        channel.on("data", (chunk: Buffer) => chunks.push(chunk));
        channel.end(payload);
        await once(channel, "end");
        return Buffer.concat(chunks).equals(payload);
      }),
    );
    expect(results.every(Boolean)).toBe(true);
    expect(made.pool.trunks()).toHaveLength(1);
    expect(made.acceptor.trunks()).toHaveLength(1);
    expect(made.paths).toHaveLength(2);
    const stats = made.pool.trunks()[0]?.stats();
    expect(stats?.attachments.map(({ lane, active, ready }) => ({ lane, active, ready }))).toEqual(
      expect.arrayContaining([
        { lane: "bulk", active: true, ready: true },
        { lane: "interactive", active: true, ready: true },
      ]),
    );
  });

  it("a half-close leaves the other direction open", async () => {
    const { pool } = await edges((channel) => {
      channel.accept();
      const chunks: Buffer[] = [];
      channel.on("data", (chunk: Buffer) => chunks.push(chunk));
      channel.once("end", () => channel.end(Buffer.concat([Buffer.from("got "), ...chunks])));
    });
    const channel = await pool.open(far, openOf("late"));
    channel.end("question");
    expect(await textOf(channel)).toBe("got question");
  });
});

describe("an acceptor", () => {
  it("may write and half-close before it accepts; nothing is lost and nothing leaves early", async () => {
    let accept = (): void => {};
    const { pool } = await edges((channel) => {
      channel.end("early");
      channel.resume();
      accept = () => channel.accept();
    });
    const channel = await pool.open(far, openOf("early"));
    channel.end();
    const text = textOf(channel);
    await eventually(() => channel.stats().state === "opening_half_local", { what: "the half-close to leave" });
    await eventually(() => pool.trunks()[0]?.stats().replayBytes === 0, { what: "the open to arrive" });
    expect(channel.stats()).toMatchObject({ bytesReceived: 0, state: "opening_half_local" });
    accept();
    expect(await text).toBe("early");
  });
});

describe("an idle lane", () => {
  it("that lost its path gets a new one with the next channel, on the same trunk", async () => {
    const made = await edges(echo);
    const first = await made.pool.open(far, openOf("a", ChannelClass.INTERACTIVE));
    first.end("1");
    await textOf(first);
    const second = await made.pool.open(far, openOf("b", ChannelClass.BULK));
    expect(made.paths).toHaveLength(2);
    await eventually(() => made.pool.trunks()[0]?.stats().replayBytes === 0, { what: "acks" });
    made.paths[0]?.raw.resetAndDestroy();
    await eventually(() => made.pool.trunks()[0]?.stats().attachments.length === 1, { what: "the lane to be lost" });
    await eventually(() => made.acceptor.trunks()[0]?.stats().attachments.length === 1, { what: "the far lane too" });
    const third = await made.pool.open(far, openOf("c", ChannelClass.INTERACTIVE));
    third.end("3");
    expect(await textOf(third)).toBe("3");
    second.end("2");
    expect(await textOf(second)).toBe("2");
    expect(made.paths).toHaveLength(3);
    expect(made.pool.trunks()).toHaveLength(1);
  });
});

describe("LAW-T3 back-pressure", () => {
  it("blocks a producer after the stated number of bytes, and wakes it when the reader reads", async () => {
    let stalled: EdgeChannel | undefined;
    const { pool } = await edges((channel) => {
      channel.accept();
      stalled = channel;
    });
    const channel = await pool.open(far, openOf("stalled"));
    await channel.opened;
    const chunk = Buffer.alloc(8 * KiB, 1);
    let taken = 0;
    let written = 0;
    const write = (): void => {
      while (written < 4 * MiB) {
        written += chunk.length;
        if (!channel.write(chunk, () => (taken += chunk.length))) return;
      }
    };
    channel.on("drain", write);
    write();
    await eventually(() => channel.stats().bytesSent === limits.channelCreditStartBytes, {
      what: "the credit to be used up",
    });
    // Nothing is under way any more: what is written now stays written.
    await eventually(() => pool.trunks()[0]?.stats().replayBytes === 0, { what: "acks" });
    expect(written).toBeLessThanOrEqual(stalledProducerMaxBytes + chunk.length);
    expect(taken).toBeLessThanOrEqual(limits.channelCreditStartBytes + limits.channelSendQueueBytes);
    expect(stalledProducerMaxBytes).toBe(208 * KiB);
    let read = 0;
    stalled?.on("data", (bytes: Buffer) => (read += bytes.length));
    await eventually(() => read === 4 * MiB, { what: "the rest to arrive" });
    channel.destroy();
  });

  it("LAW-T4 a stalled channel does not slow its neighbour", async () => {
    const { pool } = await edges((channel) => {
      if (channel.request.resource === "stalled") channel.accept();
      else echo(channel);
    });
    const stalled = await pool.open(far, openOf("stalled"));
    stalled.write(Buffer.alloc(1 * MiB));
    const channel = await pool.open(far, openOf("echo"));
    let got = 0;
    channel.on("data", (chunk: Buffer) => (got += chunk.length));
    channel.end(Buffer.alloc(8 * MiB, 3));
    await once(channel, "end");
    expect(got).toBe(8 * MiB);
    stalled.destroy();
  });
});

describe("ends", () => {
  it("a refusal arrives with end, stage and correlation id, and rejects `opened`", async () => {
    const { pool } = await edges((channel) => channel.refuse(ChannelEnd.TARGET_REFUSED, ChannelStage.TARGET));
    const channel = await pool.open(far, openOf("db"));
    const failed = errorOf(channel);
    const rejected = channel.opened.then(
      () => undefined,
      (error: unknown) => error,
    );
    const error = await failed;
    expect(error).toBeInstanceOf(WeftError);
    expect(error.detail).toBe("TARGET_REFUSED");
    expect(error.metadata).toEqual({
      end: "TARGET_REFUSED",
      stage: "TARGET",
      writtenToTarget: "0",
      correlationId: "c-db",
    });
    expect(await rejected).toBe(error);
  });

  it("the opener going away reaches the far edge as CANCELED", async () => {
    let served: EdgeChannel | undefined;
    const { pool } = await edges((channel) => {
      served = channel;
      channel.accept();
      channel.resume();
    });
    const channel = await pool.open(far, openOf("x"));
    await channel.opened;
    const failed = errorOf(served as EdgeChannel);
    channel.destroy();
    expect((await failed).detail).toBe("CANCELED");
  });

  it("a killed connection is an honest error that says how far it got, and the next open makes a new trunk", async () => {
    const made = await edges((channel) => {
      if (channel.request.resource === "echo") {
        echo(channel);
        return;
      }
      channel.accept();
      channel.on("data", (chunk: Buffer) => channel.noteWritten(chunk.length));
    });
    const channel = await made.pool.open(far, openOf("db"));
    channel.write(Buffer.alloc(10_000));
    await eventually(() => channel.writtenToTarget === 10_000, { what: "the report of written bytes" });
    const failed = errorOf(channel);
    made.paths[0]?.raw.resetAndDestroy();
    const error = await failed;
    expect(error.detail).toBe("TRUNK_LOST");
    expect(error.metadata).toMatchObject({ stage: "FABRIC", writtenToTarget: "10000" });
    await eventually(() => made.acceptor.trunks().length === 0, { what: "the far trunk to end" });
    const next = await made.pool.open(far, openOf("echo"));
    next.end("again");
    expect(await textOf(next)).toBe("again");
    expect(made.paths).toHaveLength(2);
  });

  it("a far edge that says no is an honest error too", async () => {
    const made = await edges(echo, () => false);
    const error = await made.pool.open(far, openOf("echo")).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WeftError);
    expect((error as WeftError).metadata).toMatchObject({ end: "NO_PATH", stage: "FABRIC", correlationId: "c-echo" });
  });

  it("a drained acceptor refuses new channels and lets the old ones finish", async () => {
    const made = await edges(echo);
    const old = await made.pool.open(far, openOf("echo"));
    await old.opened;
    made.acceptor.drain();
    const late = await made.pool.open(far, openOf("late"));
    expect((await errorOf(late)).detail).toBe("DRAINING");
    old.end("still here");
    expect(await textOf(old)).toBe("still here");
  });

  it("an aborted open leaves nothing", async () => {
    const made = await edges(echo);
    const abort = new AbortController();
    const opening = made.pool.open(far, openOf("echo"), abort.signal);
    abort.abort();
    const error = await opening.catch((thrown: unknown) => thrown);
    expect((error as WeftError).detail).toBe("CANCELED");
  });
});

describe("a path end", () => {
  it("serves Open and nothing else", async () => {
    const made = await edges(echo);
    const path = await dialPath(identities, made.listener.port);
    const session = connect("https://path-end", { createConnection: () => path.tls });
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": "/weft.channel.v1.ChannelService/Echo",
      "content-type": "application/grpc",
    });
    const [headers] = await once(stream, "response");
    expect(headers["grpc-status"]).toBe("12");
    session.destroy();
    path.raw.destroy();
  });

  it("drops a stranger whose first message is no attach", async () => {
    const made = await edges(echo);
    const path = await dialPath(identities, made.listener.port);
    const session = connect("https://path-end", { createConnection: () => path.tls });
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": "/weft.channel.v1.ChannelService/Open",
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    stream.write(Buffer.from([0, 0, 0, 0, 2, 0x2a, 0x00]));
    await once(stream, "close");
    expect(made.acceptor.trunks()).toEqual([]);
    session.destroy();
    path.raw.destroy();
  });
});

describe("a target", () => {
  it("gets bytes and half-closes, and its reset becomes TARGET_RESET with what it took", async () => {
    const sockets: Socket[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.add("target", () => void server.close());
    const { port } = server.address() as { port: number };
    const { pool } = await edges((channel) => {
      const target = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
      target.once("connect", () => {
        channel.accept();
        pipeToTarget(channel, target);
      });
    });
    const whole = await pool.open(far, openOf("tcp"));
    const got: Buffer[] = [];
    whole.on("data", (chunk: Buffer) => got.push(chunk));
    whole.end(Buffer.alloc(1 * MiB, 5));
    await once(whole, "end");
    expect(Buffer.concat(got).length).toBe(1 * MiB);

    const cut = await pool.open(far, openOf("tcp"));
    cut.resume();
    cut.write(Buffer.alloc(5_000));
    await eventually(() => cut.writtenToTarget === 5_000, { what: "the report" });
    const failed = errorOf(cut);
    sockets.at(-1)?.resetAndDestroy();
    const error = await failed;
    expect(error.detail).toBe("TARGET_RESET");
    expect(error.metadata["writtenToTarget"]).toBe("5000");
  });
});
