/** Peers that open paths to a far edge and abuse what an Attach is for: refused, counted, bounded; nobody else notices. */

import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { AttachmentStream } from "../../edge/attachment.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import type { AcceptedPath } from "../../edge/edge-path.ts";
import { PathConnection } from "../../edge/path-connection.ts";
import { type AcceptorBounds, acceptorBounds, TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { TrunkRunner } from "../../edge/trunk-runner.ts";
import { attachProof } from "../../fabric/trunk/attach-proof.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { encodeMessage } from "../../fabric/trunk/encode.ts";
import type { Attach } from "../../fabric/trunk/messages.ts";
import { Lane } from "../../gen/weft/channel/v1/channel_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { dialPath, listenForPaths } from "../harness/edge-paths.ts";
import { closers, echo, errorOf, identities, openOf, textOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

const none = Buffer.alloc(0);

/** A far edge; `as` says who the paths that come in are from. */
async function farEdge(bounds: Partial<AcceptorBounds> = {}) {
  const far = { refused: 0, as: {} as Partial<AcceptedPath<string>>, port: 0, moves: 0 };
  const acceptor = new TrunkAcceptor<string>({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    accept: () => true,
    bounds: { ...acceptorBounds, ...bounds },
    onRefused: () => {
      far.refused += 1;
    },
    onMove: () => {
      far.moves += 1;
    },
    onChannel: (channel) => {
      channel.on("error", () => {});
      echo(channel);
    },
  });
  const listener = await listenForPaths(identities, (path) => acceptor.add({ ...path, ...far.as }));
  far.port = listener.port;
  closers.add("listener", () => listener.close());
  closers.add("acceptor", () => acceptor.close());
  return Object.assign(far, { acceptor, listener });
}

type Far = Awaited<ReturnType<typeof farEdge>>;

const connectTo = async (far: Far): Promise<PathConnection> =>
  PathConnection.client(await dialPath(identities, far.port), systemClock);

/** An honest initiator's trunk, and one echo over it that has worked. */
async function honest(far: Far, trunkId = systemRandom.bytes(16)) {
  const first = await connectTo(far);
  const runner = new TrunkRunner({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    side: "initiator",
    trunkId,
    secret: first.exporter,
    farEdge: "egress",
    organizationId: "org",
    processPool: new CreditPool(limits.processReceivePoolBytes),
    holdMs: 20_000,
  });
  closers.add("runner", () => runner.abort("the test is over"));
  expect(await runner.attach(first, "bulk")).toBe(true);
  return { first, runner, trunkId };
}

async function echoes(runner: TrunkRunner): Promise<void> {
  const channel = runner.open(openOf("echo"));
  channel.end("still here");
  expect(await textOf(channel)).toBe("still here");
}

/** Shows an Attach on a new stream and resolves when the far end gave it up; rejects what it says as an Attach of its own. */
async function show(connection: PathConnection, attach: Attach): Promise<void> {
  const message = encodeMessage({ kind: "attach", attach });
  let waits: Buffer | undefined = message;
  await new Promise<void>((resolve, reject) => {
    const stream = new AttachmentStream(connection.openStream(), {
      pullControl: () => {
        const bytes = waits;
        waits = undefined;
        return bytes;
      },
      pullBatch: () => undefined,
      batchWritten: () => {},
      message: (bytes) => {
        // A notice that the trunk is unknown is a refusal, too.
        if (bytes[0] === 0x0a) reject(new Error("the Attach was taken"));
      },
      lost: () => resolve(),
    });
    stream.wake();
  });
}

function attachWith(connection: PathConnection, secret: Uint8Array, fields: Partial<Attach> = {}): Attach {
  const unproved = {
    trunkId: Buffer.alloc(16, 5),
    lane: Lane.BULK,
    generation: 0,
    nextExpectedSeq: 1,
    ask: none,
    askSignature: none,
    ...fields,
  };
  return { proof: attachProof(secret, "initiator", connection.exporter, unproved), ...unproved, ...fields };
}

describe("an Attach that is not good", () => {
  let far: Far;
  let victim: Awaited<ReturnType<typeof honest>>;
  beforeEach(async () => {
    far = await farEdge();
    victim = await honest(far);
  });

  async function undisturbed(refused: number): Promise<void> {
    await eventually(() => far.refused === refused, { what: `${refused} refusals to be counted` });
    expect(far.acceptor.trunks().length).toBe(1);
    expect(victim.runner.stats().attachments.length).toBe(1);
    expect(far.moves).toBe(0);
    await echoes(victim.runner);
  }

  it("of an unknown trunk, with another connection's secret", async () => {
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, victim.first.exporter));
    await undisturbed(1);
  });

  it("with a wrong proof, for the victim's trunk", async () => {
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, Buffer.alloc(32), { trunkId: Buffer.from(victim.trunkId) }));
    await undisturbed(1);
  });

  it("with its own connection's secret, for the victim's trunk", async () => {
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, connection.exporter, { trunkId: Buffer.from(victim.trunkId) }));
    await undisturbed(1);
  });

  it("replayed from a capture of the victim's own connection", async () => {
    const captured = attachWith(victim.first, victim.first.exporter, { trunkId: Buffer.from(victim.trunkId) });
    const connection = await connectTo(far);
    await show(connection, captured);
    await undisturbed(1);
  });

  it("proved for one lane and sent for another", async () => {
    const connection = await connectTo(far);
    const trunkId = Buffer.from(victim.trunkId);
    const good = attachWith(connection, victim.first.exporter, { trunkId });
    await show(connection, { ...good, lane: Lane.INTERACTIVE });
    await undisturbed(1);
  });

  it("with the stolen secret, by another peer", async () => {
    far.as = { peerKey: "thief|org" };
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, victim.first.exporter, { trunkId: Buffer.from(victim.trunkId) }));
    await undisturbed(1);
  });

  it("on a path that was offered for another trunk", async () => {
    far.as = { trunkId: Buffer.alloc(16, 7) };
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, connection.exporter));
    await undisturbed(1);
  });

  it("again and again on a connection that carries a trunk of its own", async () => {
    const thief = await honest(far);
    for (let i = 0; i < 200; i += 1) {
      const attach = attachWith(thief.first, Buffer.alloc(32), { trunkId: Buffer.from(victim.trunkId) });
      await show(thief.first, attach);
    }
    await eventually(() => far.refused === 200, { what: "every refusal to be counted" });
    await echoes(thief.runner);
    await echoes(victim.runner);
  });

  it("more often than a trunk may have attachments", async () => {
    const connections = [victim.first];
    for (let i = 0; i < limits.attachmentsPerTrunkMaxCount - 1; i += 1) {
      const connection = await connectTo(far);
      connections.push(connection);
      expect(await victim.runner.attach(connection, "bulk")).toBe(true);
    }
    for (let i = 0; i < 20; i += 1) expect(await victim.runner.attach(await connectTo(far), "bulk")).toBe(false);
    expect(far.refused).toBe(20);
    expect(far.acceptor.trunks()[0]?.stats().attachments.length).toBe(limits.attachmentsPerTrunkMaxCount);
    await echoes(victim.runner);
  });
});

describe("LAW-T3 what an initiator may leave behind is bounded", () => {
  it("trunks whose connections are gone make room for the newest, at most so many per peer", async () => {
    const far = await farEdge({ trunksPerPeerMaxCount: 8 });
    for (let i = 0; i < 40; i += 1) {
      const { first, runner } = await honest(far);
      await echoes(runner);
      first.path.raw.resetAndDestroy();
      await eventually(() => far.acceptor.trunks().every((trunk) => trunk.connections().length === 0), {
        what: "the far end to notice",
      });
      expect(far.acceptor.trunks().length).toBeLessThanOrEqual(8);
    }
    far.as = { peerKey: "other|org" };
    await echoes((await honest(far)).runner);
    expect(far.acceptor.trunks().length).toBe(9);
  });

  it("no trunk that lives is ended for another: one too many is refused", async () => {
    const far = await farEdge({ trunksPerPeerMaxCount: 3 });
    const live = [await honest(far), await honest(far), await honest(far)];
    const connection = await connectTo(far);
    await show(connection, attachWith(connection, connection.exporter));
    expect(far.refused).toBe(1);
    for (const { runner } of live) await echoes(runner);
  });

  it("channels: one peer at its bound, over all its trunks, takes no room from another", async () => {
    const far = await farEdge({ channelsPerPeerMaxCount: 10, channelsMaxCount: 15 });
    const greedy = [await honest(far), await honest(far)];
    const open: EdgeChannel[] = [];
    for (let i = 0; i < 10; i += 1) {
      const channel = (greedy[i % 2] as (typeof greedy)[0]).runner.open(openOf("echo"));
      channel.on("error", () => {});
      open.push(channel);
      await channel.opened;
    }
    const refused = greedy[0]?.runner.open(openOf("echo")) as EdgeChannel;
    expect((await errorOf(refused)).detail).toBe("LIMIT");
    far.as = { peerKey: "other|org" };
    const other = await honest(far);
    await echoes(other.runner);
    // What ends gives its room back.
    open[0]?.destroy();
    await once(open[0] as EdgeChannel, "close");
    await turn();
    await eventually(async () => {
      const again = (greedy[1] as (typeof greedy)[0]).runner.open(openOf("echo"));
      again.on("error", () => {});
      return await again.opened.then(
        () => true,
        () => false,
      );
    });
    // Whole trunks, too.
    for (const { runner } of greedy) runner.abort("over");
    await eventually(() => far.acceptor.trunks().length === 1, { what: "the greedy trunks to end" });
    far.as = {};
    const back = await honest(far);
    for (let i = 0; i < 10; i += 1) await back.runner.open(openOf("echo")).opened;
  });
});
