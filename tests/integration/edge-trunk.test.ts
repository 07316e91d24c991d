/** Trunks between two real TLS ends on loopback: bytes, half-closes, back-pressure, lanes. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { stalledProducerMaxBytes } from "../../edge/channel.ts";
import type { TrunkRunner } from "../../edge/trunk-runner.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { KiB, limits, MiB } from "../../lib/limits.ts";
import { seededRandom } from "../../lib/random.ts";
import { echo, edges, far, openOf, textOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

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
    const stats = made.pool.trunks()[0]?.stats();
    const active = stats?.attachments.filter((attachment) => attachment.active) ?? [];
    expect(active.map(({ lane, ready }) => ({ lane, ready }))).toEqual(
      expect.arrayContaining([
        { lane: "bulk", ready: true },
        { lane: "interactive", ready: true },
      ]),
    );
    expect(new Set(active.map(({ connectionId }) => connectionId)).size).toBe(2);
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
  it("that lost its path gets another one by itself, on the same trunk", async () => {
    const made = await edges(echo);
    const first = await made.pool.open(far, openOf("a", ChannelClass.INTERACTIVE));
    first.end("1");
    await textOf(first);
    const second = await made.pool.open(far, openOf("b", ChannelClass.BULK));
    await eventually(() => made.pool.trunks()[0]?.stats().replayBytes === 0, { what: "acks" });
    const connectionOf = (trunk: TrunkRunner | undefined): number | undefined =>
      trunk?.stats().attachments.find(({ lane, active }) => active && lane === "interactive")?.connectionId;
    const before = connectionOf(made.pool.trunks()[0]);
    made.paths[0]?.raw.resetAndDestroy();
    await eventually(() => ![before, undefined].includes(connectionOf(made.pool.trunks()[0])), {
      what: "another path",
    });
    const third = await made.pool.open(far, openOf("c", ChannelClass.INTERACTIVE));
    third.end("3");
    expect(await textOf(third)).toBe("3");
    second.end("2");
    expect(await textOf(second)).toBe("2");
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
