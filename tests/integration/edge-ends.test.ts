/** How channels, trunks and paths end between two real TLS ends: refusals, resets, killed connections, strangers, targets. */

import { once } from "node:events";
import { connect } from "node:http2";
import type { Socket } from "node:net";
import { connect as connectTcp, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { pipeToTarget } from "../../edge/pipe-target.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { MiB } from "../../lib/limits.ts";
import { dialPath } from "../harness/edge-paths.ts";
import { closers, echo, edges, errorOf, far, identities, openOf, textOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

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

  it("a far edge out of reach for too long is an honest error that says how far it got; the next open makes a new trunk", async () => {
    const serve = (channel: EdgeChannel): void => {
      if (channel.request.resource === "echo") {
        echo(channel);
        return;
      }
      channel.accept();
      channel.on("data", (chunk: Buffer) => channel.noteWritten(chunk.length));
    };
    const made = await edges(serve, () => true, { holdMs: 300 });
    const channel = await made.pool.open(far, openOf("db"));
    channel.write(Buffer.alloc(10_000));
    await eventually(() => channel.writtenToTarget === 10_000, { what: "the report of written bytes" });
    const failed = errorOf(channel);
    made.reachable = false;
    for (const path of made.paths) path.raw.resetAndDestroy();
    const error = await failed;
    expect(error.detail).toBe("TRUNK_LOST");
    expect(error.metadata).toMatchObject({ stage: "FABRIC", writtenToTarget: "10000" });
    await eventually(() => made.acceptor.trunks().length === 0, { what: "the far trunk to end" });
    made.reachable = true;
    const next = await made.pool.open(far, openOf("echo"));
    next.end("again");
    expect(await textOf(next)).toBe("again");
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
    await new Promise<void>((resolve) => stream.once("close", () => resolve()));
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
