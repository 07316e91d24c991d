/**
 * The example clients in Go and Python, generated from proto/ alone, on a fabric that already runs: bytes while the relay in
 * use is killed, typed errors, deadlines, cancellation, watching, becoming a node.
 */

import { dirname } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { askFabricNode } from "../../../cli/up/failovers.ts";
import { type ExampleClient, exampleClient, languages } from "../../../examples/example-client.ts";
import {
  type Place,
  problemsOf,
  problemsOfWatched,
  tryEnrollment,
  tryRefusals,
  watchMoves,
} from "../../../examples/tour.ts";
import { transferUnderLoss } from "../../../examples/under-loss.ts";
import { MiB } from "../../../lib/limits.ts";
import { isSoak } from "../../harness/counts.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import { knownAt } from "../../harness/stock-grpc.ts";
import { standbyReady } from "../../harness/trunks.ts";

const peers = languages.map((language) => ({
  language,
  peer: requirePeer(language, `the example client in ${language}`),
}));
const present = peers.filter(({ peer }) => !peer.missing);
/** Slow enough for a relay to be killed under it; the full size goes as fast as it can. */
const size = isSoak ? { bytes: 64 * MiB } : { bytes: 4 * MiB, bytesPerSecond: 4 * MiB };
const buildWithinMs = 240_000;

describe.skipIf(present.length === 0)("an example client", () => {
  let world: TestFabric;
  let identity: string;
  const clients = new Map<string, ExampleClient>();
  beforeAll(async () => {
    world = await sharedFabric();
    const files = await world.addClient("other-languages");
    identity = dirname(files.cert);
    await Promise.all(["entry-1", "entry-2"].map((entry) => knownAt(world.publicAddress(entry), files)));
    for (const { language, peer } of present) clients.set(language, exampleClient(language, peer.path));
  }, fabricWithinMs + buildWithinMs);

  function placeOf(language: string): Place {
    const client = clients.get(language);
    if (client === undefined) throw new Error(`no client in ${language}`);
    return { fabric: world.fabric, client, identity, scratch: world.scratch };
  }

  const channelsOf = (name: string): Promise<number> =>
    world.fabric.withSession((session) =>
      askFabricNode(world.fabric, session, name, async (node) =>
        Number((await node.getStatus({})).counters?.channelsLive ?? 0n),
      ),
    );

  it("is refused with code, reason, stage and request id, and its deadline and cancellation end what they began", async () => {
    const before = await channelsOf("entry-1");
    const refusals = await Promise.all(present.map(({ language }) => tryRefusals(placeOf(language))));
    expect(refusals.map(problemsOf)).toEqual(present.map(() => []));
    await eventually(async () => (await channelsOf("entry-1")) <= before, { what: "no channel left at the entry" });
  });

  it("becomes a node with a request of its own, and beats as it", async () => {
    const enrolled = await Promise.all(present.map(({ language }) => tryEnrollment(placeOf(language))));
    expect(enrolled.map(({ name, health, beats }) => ({ name, health, beats }))).toEqual(
      present.map(({ language }) => ({
        name: `${language}-example`,
        health: "NODE_HEALTH_ONLINE",
        beats: 2,
      })),
    );
  }, 60_000);

  it("loses no byte when its relay is killed, and hears of the move", async () => {
    const places = present.map(({ language }) => placeOf(language));
    await standbyReady(world, "entry-1");
    const watches = places.map(watchMoves);
    await Promise.all(watches.map(({ told }) => told("watching")));
    const sent = { fabric: world.fabric, clients: places.map(({ client }) => client), identity, ...size };
    const { hurt, reports } = await transferUnderLoss(sent);
    expect(hurt).toMatch(/^relay-/);
    await world.fabric.restart(hurt);
    for (const { mb_per_s: speed, failovers, ...report } of reports) {
      expect(report).toEqual({ ok: true, bytes: 2 * size.bytes, sha256_equal: true });
      expect([failovers > 0, speed > 0]).toEqual([true, true]);
    }
    expect(reports).toHaveLength(present.length);
    for (const { answer } of watches) expect(problemsOfWatched(await answer, world.fabric)).toEqual([]);
  }, 120_000);
});
