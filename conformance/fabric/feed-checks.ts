/**
 * THR-C3 and THR-S at nodes as they run: feeds and snapshots that are old, contradict, hide or flood, with right signatures,
 * shown by a neighbour whose key somebody has, or by a replica of control in somebody else's hands.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { echoOnce } from "../../cli/up/fabric.ts";
import { signSnapshot, signSnapshotPayload } from "../../fabric/snapshot/sign.ts";
import { RevocationFeedSchema, type SignedFeed } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { type SnapshotEnvelope, SnapshotEnvelopeSchema, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { StolenLink, StolenNode } from "../attack/stolen-node.ts";
import { type Check, holds } from "../check.ts";
import { until } from "../until.ts";
import {
  alerted,
  everywhereBeyond,
  evidenceOf,
  forgedFeed,
  heldFeed,
  listenTo,
  revocable,
  stateDirOf,
  staysOut,
  thiefIn,
} from "./lies.ts";
import { type LyingControl, openLyingControl } from "./lying-control.ts";
import { type StolenKeys, stealKeys } from "./stolen-keys.ts";
import { detouredNode, type FabricWorld } from "./world.ts";

const seqOf = ({ payload }: SignedFeed): bigint => fromBinary(RevocationFeedSchema, payload).seq;

/** Does something at the link door of each neighbour that can be dialled. */
async function atNeighbours(
  thief: StolenNode,
  work: (link: StolenLink, name: string) => Promise<void>,
): Promise<number> {
  const met = thief.snapshot.neighbours.filter(({ addresses }) => addresses.length > 0);
  for (const neighbour of met) {
    const link = await thief.link(neighbour);
    try {
      await work(link, neighbour.name);
    } finally {
      link.close();
    }
  }
  return met.length;
}

const replaysCount = 20;

async function replayed(world: FabricWorld): Promise<string> {
  await using gone = await revocable(world, "feed-replayed");
  const old = heldFeed(world, "relay-1");
  await gone.revoke();
  await gone.ended;
  const at = await everywhereBeyond(world, seqOf(old));
  const met = await atNeighbours(thiefIn(world), async ({ relay }, name) => {
    for (let time = 0; time < replaysCount; time += 1) {
      const { epoch, seq, feed } = await relay.exchangeFeed({ feed: old, epoch: 1n, seq: seqOf(old) });
      holds(seq >= at, `${name} went back to ${epoch}.${seq}`);
      holds(feed !== undefined && seqOf(feed) === seq, `${name} does not hand over what is newer`);
    }
  });
  const after = await everywhereBeyond(world, at - 1n);
  holds(after === at, `nodes go by ${after} and went by ${at}`);
  await staysOut(gone, "an older feed");
  return `an older feed shown ${replaysCount} times to each of ${met} nodes: each stays at ${at} and hands that over`;
}

/** Puts a liar in the place of control for one node, and control back again. */
async function insteadOfControl<T>(
  world: FabricWorld,
  work: (liar: LyingControl, keys: StolenKeys) => Promise<T>,
): Promise<T> {
  const keys = await stealKeys(world);
  const liar = await openLyingControl(keys, world.identity(detouredNode).identity);
  try {
    world.detour.lead(liar.port);
    await until(() => liar.watching() > 0, "the node believes the replica", { withinMs: 20_000 });
    return await work(liar, keys);
  } finally {
    world.detour.lead(world.fabric.plan.control.publicPort);
    await liar.close();
    // It beats: control is heard again.
    const isBack = async (): Promise<boolean> =>
      ((await world.status(detouredNode)).controlHeardMsAgo ?? 60_000n) < 3_000n;
    await until(isBack, "the node hears control again", { withinMs: 30_000 });
  }
}

async function withheld(world: FabricWorld): Promise<string> {
  await using gone = await revocable(world, "feed-withheld");
  return await insteadOfControl(world, async (liar, { feed: signer }) => {
    const old = heldFeed(world, detouredNode);
    /** As if nobody had been revoked: the position before, stated now. */
    const calm = (): void => {
      const value = forgedFeed(signer, old, { issuedAtMs: BigInt(Date.now()) });
      liar.say({ message: { case: "feed", value } });
    };
    calm();
    await gone.revoke();
    const startedMs = performance.now();
    const isTold = async (): Promise<boolean> => {
      calm();
      return (await world.status(detouredNode)).feedSeq > seqOf(old);
    };
    await until(isTold, "neighbours tell it", { withinMs: 5_000 });
    const toldMs = Math.round(performance.now() - startedMs);
    for (let time = 0; time < replaysCount; time += 1) calm();
    const { controlHeardMsAgo, feedSeq } = await world.status(detouredNode);
    holds(feedSeq > seqOf(old), "the position before counts again");
    await gone.ended;
    await staysOut(gone, "a feed that says nothing of it");
    return `control says that nothing has changed (heard ${controlHeardMsAgo} ms ago): neighbours told of it within ${toldMs} ms`;
  });
}

async function forked(world: FabricWorld): Promise<string> {
  await using gone = await revocable(world, "feed-hidden");
  await using named = await revocable(world, "feed-named");
  const before = seqOf(heldFeed(world, "relay-1"));
  await gone.revoke();
  const at = await everywhereBeyond(world, before);
  const { feed: signer } = await stealKeys(world);
  // The same position: hides one that control revoked, and names one that control did not.
  const notAfterMs = BigInt(Date.now() + 600_000);
  const other = forgedFeed(signer, heldFeed(world, "relay-1"), {
    revocations: [{ spiffeId: named.spiffe, notAfterMs }],
  });
  const thief = thiefIn(world);
  const link = await thief.link(thief.neighbour("relay-1"));
  await link.relay.exchangeFeed({ feed: other, epoch: 1n, seq: at }).finally(() => link.close());
  const [evidence] = evidenceOf(world, "relay-1", "feed");
  holds(evidence !== undefined, "no evidence is kept");
  // Shown to one relay; what it names ends wherever it is.
  await named.ended;
  await staysOut(named, "one of two feeds of one position revoked it");
  await staysOut(gone, "one of two feeds of one position left it out");
  holds((await everywhereBeyond(world, at - 1n)) === at, "a forged feed became a node's own");
  const about = await alerted(world, "feed-forked");
  return `two contents of position ${at}, both signed: both count at every node; evidence at relay-1, critical alert about ${about}`;
}

const floodLifeMs = 25_000;

/** As many entries as one statement may have, of an older position, until a moment from now. */
function floodOf(world: FabricWorld, { feed: signer }: StolenKeys, turn: number): SignedFeed {
  const notAfterMs = BigInt(Date.now() + floodLifeMs);
  const spiffeIds = Array.from({ length: limits.revocationsMaxCount }, (_, at) => `flood-${turn}-${at}`);
  const revocations = spiffeIds.map((spiffeId) => ({ spiffeId, notAfterMs }));
  return forgedFeed(signer, heldFeed(world, "relay-1"), { epoch: 0n, seq: BigInt(turn), revocations });
}

async function flooded(world: FabricWorld): Promise<string> {
  await using held = await revocable(world, "feed-before-flood");
  await using late = await revocable(world, "feed-in-flood");
  const before = seqOf(heldFeed(world, "relay-1"));
  await held.revoke();
  await held.ended;
  const at = await everywhereBeyond(world, before);
  const keys = await stealKeys(world);
  const thief = thiefIn(world);
  const link = await thief.link(thief.neighbour("relay-1"));
  for (const turn of [1, 2, 3]) await link.relay.exchangeFeed({ feed: floodOf(world, keys, turn), epoch: 0n, seq: 1n });
  link.close();
  const about = await alerted(world, "feed-overflow");
  await staysOut(held, "a flood");
  await echoOnce(world.fabric.listenerPort("echo-entry-1"), 10_000);
  // Who is revoked meanwhile is cut where there is room, and everywhere as soon as the flood has run out.
  await late.revoke();
  const after = await everywhereBeyond(world, at, floodLifeMs * 2);
  await late.ended;
  for (const who of [held, late]) await staysOut(who, "a flood that ran out");
  return `${3 * limits.revocationsMaxCount} entries: what was revoked stays, bytes go on, alert about ${about}; at ${after} by itself when they have ended`;
}

function heldSnapshot(world: FabricWorld, node: string): SnapshotEnvelope {
  return fromBinary(SnapshotEnvelopeSchema, readFileSync(join(stateDirOf(world, node), "snapshot.bin")));
}

/** Snapshots a node must not take, by what is wrong with them; all but the damaged ones are rightly signed. */
function wrongSnapshots(world: FabricWorld, { snapshot: signer }: StolenKeys, old: SnapshotEnvelope) {
  const held = heldSnapshot(world, detouredNode);
  const snapshot = fromBinary(SnapshotSchema, held.payload);
  const unknown = Buffer.concat([held.payload, Buffer.from("f8ff7f01", "hex")]);
  const { clusterId, nodeId } = snapshot;
  const over = { version: snapshot.version + 1_000n };
  return {
    "an older one": old,
    "another node's": heldSnapshot(world, "relay-1"),
    "of a lower epoch": signSnapshot(signer, create(SnapshotSchema, { ...snapshot, ...over, epoch: 0n })),
    "another content of its version": signSnapshot(signer, create(SnapshotSchema, { ...snapshot, neighbours: [] })),
    "with a field nobody knows": signSnapshotPayload(signer, { clusterId, nodeId }, unknown),
    "cut short": create(SnapshotEnvelopeSchema, { ...held, payload: held.payload.subarray(0, -9) }),
    "for another node": signSnapshot(
      signer,
      create(SnapshotSchema, { ...snapshot, ...over, nodeId: "aaaaaaaaaaaaaaaa" }),
    ),
    "larger than any": create(SnapshotEnvelopeSchema, { ...held, payload: Buffer.alloc(limits.snapshotMaxBytes + 1) }),
    "signed by the key of the feed": create(SnapshotEnvelopeSchema, {
      ...held,
      payload: toBinary(SnapshotSchema, create(SnapshotSchema, { ...snapshot, ...over })),
    }),
  };
}

async function snapshotsRefused(world: FabricWorld): Promise<string> {
  const old = heldSnapshot(world, detouredNode);
  const { snapshotVersion: before } = await world.status(detouredNode);
  await world.json("resource", "add", "conformance-newer", "--pool", "demo-exit", "--target", "127.0.0.1:9");
  const isNewer = async (): Promise<boolean> => (await world.status(detouredNode)).snapshotVersion > before;
  await until(isNewer, "the node has a newer snapshot");
  const events = listenTo(world, detouredNode);
  const refusals = (): number => events.heard.filter(({ kind }) => kind === "snapshot_refused").length;
  try {
    const tried = await insteadOfControl(world, async (liar, keys) => {
      const { snapshotVersion: held } = await world.status(detouredNode);
      const wrong = Object.entries(wrongSnapshots(world, keys, old));
      for (const [what, value] of wrong) {
        const from = refusals();
        liar.say({ message: { case: "snapshot", value } });
        await until(() => refusals() > from, `a snapshot ${what} is refused`);
        const { snapshotVersion } = await world.status(detouredNode);
        holds(snapshotVersion === held, `a snapshot ${what} was taken`);
      }
      return wrong.length;
    });
    holds(evidenceOf(world, detouredNode, "snapshot").length === 1, "the contradiction is not kept");
    const about = await alerted(world, "snapshot-forked");
    return `${tried} snapshots by a replica that lies, none taken; the contradiction kept, and an alert about ${about}`;
  } finally {
    await events.close();
  }
}

export const feedChecks: readonly Check<FabricWorld>[] = [
  { id: "C3.feed-replayed", law: "THR-C3", title: "an older feed, shown by a stolen relay", run: replayed },
  {
    id: "C3.feed-withheld",
    law: "THR-C3",
    title: "a replica of control that hides a revocation",
    run: withheld,
    withinMs: 90_000,
  },
  { id: "C3.feed-forked", law: "THR-C3", title: "two signed feeds of one position", run: forked, withinMs: 90_000 },
  { id: "C3.feed-flooded", law: "THR-C3", title: "more revocations than fit", run: flooded, withinMs: 120_000 },
  {
    id: "S1.snapshots-refused",
    law: "THR-S1",
    title: "snapshots by a replica of control that lies",
    run: snapshotsRefused,
    withinMs: 90_000,
  },
];
