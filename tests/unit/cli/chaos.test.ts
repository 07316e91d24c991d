import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type Failover, failoverOf, failoverText, onceEach } from "../../../cli/up/failovers.ts";
import { VerifiedStream } from "../../../cli/up/stream.ts";
import { eventually } from "../../harness/eventually.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** An echo that passes each chunk through `hand`, with the offset of its first byte. */
async function echo(hand: (chunk: Buffer, at: number, socket: Socket) => Buffer): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let at = 0;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      const out = hand(chunk, at, socket);
      at += chunk.length;
      if (!socket.destroyed) socket.write(out);
    });
    socket.on("end", () => socket.end());
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const enoughBytes = 200_000;
const until = (stream: VerifiedStream): Promise<unknown> =>
  eventually(() => stream.counts().verifiedBytes > enoughBytes || stream.counts().fault !== undefined);

describe("the checked transfer", () => {
  it("counts what came back equal, and its two hashes are one", async () => {
    const stream = new VerifiedStream(await echo((chunk) => chunk), 5_000_000);
    await until(stream);
    expect(stream.counts().fault).toBeUndefined();
    expect(await stream.finish(5_000)).toMatchObject({ equal: true });
    expect(stream.counts().verifiedBytes).toBe(stream.counts().sentBytes);
  });

  const half = enoughBytes / 2;
  const inside = (chunk: Buffer, at: number): boolean => at <= half && half < at + chunk.length;
  it.each<[string, (chunk: Buffer, at: number) => Buffer]>([
    [
      "altered",
      (chunk, at) => (inside(chunk, at) ? Buffer.concat([Buffer.of((chunk[0] ?? 0) ^ 1), chunk.subarray(1)]) : chunk),
    ],
    ["lost", (chunk, at) => (inside(chunk, at) ? chunk.subarray(1) : chunk)],
    ["repeated", (chunk, at) => (inside(chunk, at) ? Buffer.concat([chunk.subarray(0, 1), chunk]) : chunk)],
  ])("notices one byte %s", async (_what, hand) => {
    const stream = new VerifiedStream(await echo(hand), 5_000_000);
    await until(stream);
    expect(stream.counts().fault).toMatch(/other bytes came back/);
    expect(stream.counts().verifiedBytes).toBeLessThanOrEqual(half);
    expect(await stream.finish(1_000)).toMatchObject({ equal: false });
  });

  it("notices an end that nobody asked for, and how long nothing came", async () => {
    let held = true;
    const port = await echo((chunk, _at, socket) => {
      if (!held) socket.resetAndDestroy();
      return chunk;
    });
    const stream = new VerifiedStream(port, 5_000_000);
    await until(stream);
    stream.mark();
    expect(stream.counts().stallMs).toBeLessThan(1_000);
    held = false;
    await eventually(() => stream.counts().fault !== undefined);
    const before = stream.counts().stallMs;
    await eventually(() => stream.counts().stallMs > before);
    expect(await stream.finish(100)).toMatchObject({ equal: false });
  });
});

describe("a move of a trunk", () => {
  const facts = {
    trunk: "aa",
    lane: "bulk",
    from: "nd-a nd-b nd-c",
    to: "nd-a nd-d nd-c",
    cause: "lost",
    gap_ms: "34.5",
    replayed_bytes: "1024",
    generation: "2",
  };
  const nameOf = (id: string): string => ({ "nd-a": "entry-1", "nd-b": "relay-1", "nd-c": "egress-1" })[id] ?? id;

  it("is told with names, gap and replay", () => {
    const failover = failoverOf("entry-1", facts, nameOf);
    expect(failover).toMatchObject({ from: ["entry-1", "relay-1", "egress-1"], gapMs: 34.5, replayedBytes: 1_024 });
    expect(failover === undefined ? "" : failoverText(failover)).toBe(
      "entry-1 bulk: entry-1 > relay-1 > egress-1 => entry-1 > nd-d > egress-1 (lost), gap 34.5 ms, 1024 bytes replayed",
    );
  });

  it("that both edges decide at once is told once, with the cause that says most and what both have sent again", async () => {
    const told: Failover[] = [];
    const tell = onceEach((failover) => told.push(failover), 20);
    for (const [node, generation, about] of [
      ["egress-1", "2", { cause: "lost", gap_ms: "12", replayed_bytes: "9" }],
      ["entry-1", "2", { cause: "revoked", gap_ms: "3", replayed_bytes: "531" }],
      ["entry-1", "2", { cause: "revoked", gap_ms: "3", replayed_bytes: "531" }],
      ["egress-1", "3", { cause: "silent", gap_ms: "300", replayed_bytes: "7" }],
    ] as const) {
      const failover = failoverOf(node, { ...facts, generation, ...about }, nameOf);
      if (failover !== undefined) tell(failover);
    }
    expect(told).toEqual([]);
    await eventually(() => told.length >= 2);
    const late = failoverOf("entry-1", { ...facts, generation: "3" }, nameOf);
    if (late !== undefined) tell(late);
    expect(told).toMatchObject([
      { node: "entry-1", generation: "2", cause: "revoked", gapMs: 12, replayedBytes: 540 },
      { node: "egress-1", generation: "3", cause: "silent", gapMs: 300, replayedBytes: 7 },
    ]);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(told).toHaveLength(2);
  });

  it("is told once: not by the edge that followed", () => {
    expect(failoverOf("egress-1", { ...facts, cause: "peer" }, nameOf)).toBeUndefined();
  });
});
