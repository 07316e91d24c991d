/** LAW-T1 and LAW-T2 on real connections: a lane with several attachments whose connections are killed while bytes flow. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { PathConnection } from "../../edge/path-connection.ts";
import { TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { type TrunkMoved, TrunkRunner } from "../../edge/trunk-runner.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits, MiB } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { seededRandom, systemRandom } from "../../lib/random.ts";
import { dialPath, listenForPaths } from "../harness/edge-paths.ts";
import { closers, echo, errorOf, identities, openOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

async function bothEnds(holdMs: number) {
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    accept: () => true,
    holdMs,
    onChannel: (channel) => {
      channel.on("error", () => {});
      echo(channel);
    },
  });
  const listener = await listenForPaths(identities, (path) => acceptor.add(path));
  const connect = async (): Promise<PathConnection> =>
    PathConnection.client(await dialPath(identities, listener.port), systemClock);
  const first = await connect();
  const moves: TrunkMoved[] = [];
  const runner = new TrunkRunner({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    side: "initiator",
    trunkId: systemRandom.bytes(16),
    secret: first.exporter,
    farEdge: "egress",
    organizationId: "org",
    processPool: new CreditPool(limits.processReceivePoolBytes),
    holdMs,
    onMove: (move) => moves.push(move),
  });
  closers.add("listener", () => listener.close());
  closers.add("acceptor", () => acceptor.close());
  closers.add("runner", () => runner.abort("the test is over"));
  expect(await runner.attach(first, "bulk")).toBe(true);
  return { acceptor, connect, runner, first, moves };
}

describe("a trunk whose connections are killed under load", () => {
  it("LAW-T1 goes on over a ready attachment: 48 MiB each way arrive whole across two kills", async () => {
    const { connect, runner, first, moves } = await bothEnds(0);
    const channel = runner.open(openOf("echo"));
    channel.copiesWrites = false;
    const sent = createHash("sha256");
    const got = createHash("sha256");
    const total = 48 * MiB;
    const random = seededRandom(5);
    const block = Buffer.from(random.bytes(64 * 1_024));
    let written = 0;
    let gotBytes = 0;
    const write = (): void => {
      while (written < total) {
        sent.update(block);
        written += block.length;
        if (!channel.write(block)) return;
      }
      channel.off("drain", write);
      channel.end();
    };
    let carrying = first;
    let kills = 0;
    let ready: PathConnection | undefined = await connect();
    expect(await runner.attach(ready, "bulk")).toBe(true);
    channel.on("data", (chunk: Buffer) => {
      gotBytes += chunk.length;
      got.update(chunk);
      if (ready === undefined || gotBytes < ((kills + 1) * total) / 4) return;
      kills += 1;
      carrying.path.raw.resetAndDestroy();
      carrying = ready;
      ready = undefined;
      if (kills === 2) return;
      void connect().then(async (next) => {
        if (await runner.attach(next, "bulk")) ready = next;
      });
    });
    channel.on("drain", write);
    write();
    await once(channel, "end");
    expect(kills).toBe(2);
    expect(gotBytes).toBe(total);
    expect(got.digest("hex")).toBe(sent.digest("hex"));
    expect(moves.filter((move) => move.cause !== "first").length).toBeGreaterThanOrEqual(2);
    expect(runner.stats().moves).toBeGreaterThanOrEqual(2);
  });

  it("LAW-T1 waits without any path and goes on over the next one", async () => {
    const { acceptor, connect, runner, first } = await bothEnds(20_000);
    const channel = runner.open(openOf("echo"));
    const chunks: Buffer[] = [];
    channel.on("data", (chunk: Buffer) => chunks.push(chunk));
    channel.write("before ");
    await eventually(() => Buffer.concat(chunks).toString() === "before ", { what: "the first echo" });
    first.path.raw.resetAndDestroy();
    await eventually(() => runner.stats().attachments.length === 0, { what: "the loss to be noticed here" });
    await eventually(() => acceptor.trunks()[0]?.stats().attachments.length === 0, { what: "and there" });
    channel.end("after");
    expect(await runner.attach(await connect(), "bulk")).toBe(true);
    await once(channel, "end");
    expect(Buffer.concat(chunks).toString()).toBe("before after");
  });

  it("is over when the far edge has forgotten it, and says how far it got", async () => {
    const { acceptor, connect, runner, first } = await bothEnds(0);
    const channel = runner.open(openOf("echo"));
    const failed = errorOf(channel);
    await channel.opened;
    // Here the trunk would wait; there it ends at once.
    first.path.raw.resetAndDestroy();
    const other = await connect();
    await eventually(() => acceptor.trunks().length === 0, { what: "the far trunk to end" });
    void runner.attach(other, "bulk");
    expect((await failed).detail).toBe("TRUNK_LOST");
    other.destroy();
  });
});
