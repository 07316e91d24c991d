/** Draining, looking at and revoking nodes from the command line while bytes flow through them. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NodeLine } from "../../../cli/top-view.ts";
import { type Failover, watchFailovers } from "../../../cli/up/failovers.ts";
import { VerifiedStream } from "../../../cli/up/stream.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

let world: TestFabric;
let stream: VerifiedStream;
const failovers: Failover[] = [];
const watching = new AbortController();

beforeAll(async () => {
  world = await sharedFabric();
  void watchFailovers(world.fabric, (failover) => failovers.push(failover), watching.signal);
  stream = new VerifiedStream(world.fabric.listenerPort("echo-entry-1"), 1_000_000);
}, fabricWithinMs);
afterAll(async () => {
  watching.abort();
  await stream?.finish(2_000);
}, fabricWithinMs);

const weft = async (...args: readonly string[]): Promise<{ code: number | null; out: Record<string, unknown> }> => {
  const { code, stdout } = await world.weft(...args, "--json");
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return { code, out: JSON.parse(stdout) };
};

async function entryNow(): Promise<NodeLine> {
  const { code, out } = await weft("top", "--once", "--interval", "500ms");
  expect(code).toBe(0);
  const entry = (out["nodes"] as NodeLine[]).find(({ node }) => node === "entry-1");
  if (entry === undefined) throw new Error("entry-1 is not in the picture");
  return entry;
}

/** The relay that carries the transfer, and a spare beside it. */
const carrying = (): Promise<string> =>
  eventually(
    async () => {
      const trunk = (await entryNow()).trunks.find(({ channels, initiator }) => initiator && channels > 0);
      return trunk !== undefined && trunk.standbys > 0 && trunk.sent_mb_per_s > 0
        ? trunk.paths["bulk"]?.[1]
        : undefined;
    },
    { withinMs: 30_000, everyMs: 200, what: "the transfer in the picture, with a spare" },
  );

async function progress(): Promise<void> {
  const before = stream.counts().verifiedBytes;
  await eventually(() => stream.counts().verifiedBytes > before + 200_000, { withinMs: 15_000, what: "more bytes" });
  expect(stream.counts().fault).toBeUndefined();
}

describe("weft node drain", () => {
  it(
    "LAW-T1 moves what runs through a relay away before it returns, and undrain lets the relay take part again",
    async () => {
      const relay = await carrying();
      // Others use this fabric too: what they moved for before says nothing.
      const before = failovers.length;
      const { code, out } = await weft("node", "drain", relay);
      expect({ code, out }).toMatchObject({ code: 0, out: { ok: true, node: relay, empty: true, pathsLive: 0 } });
      expect(out["pathsAtFirst"]).toBeGreaterThan(0);
      await progress();
      const isIt = ({ from, cause }: Failover): boolean => from.includes(relay) && cause === "draining";
      const move = await eventually(() => failovers.slice(before).find(isIt), { what: "the move told" });
      expect(move).toMatchObject({ to: expect.not.arrayContaining([relay]) });
      expect((await weft("node", "show", relay)).out).toMatchObject({ status: { draining: true } });
      expect((await weft("node", "undrain", relay)).out).toEqual({ ok: true, node: relay });
      expect((await weft("node", "show", relay)).out).toMatchObject({ status: { draining: false } });
    },
    fabricWithinMs,
  );

  it(
    "is honest about what stays: an entry cannot give its plain connections away",
    async () => {
      const { code, out } = await weft("node", "drain", "entry-1", "--timeout", "1s");
      expect({ code, out }).toMatchObject({ code: 1, out: { ok: false, detail: "DRAIN_UNFINISHED" } });
      expect(out["message"]).toMatch(/still carries [1-9]\d* paths \(1 channels\).*goes on draining/);
      await progress();
      expect((await weft("node", "undrain", "entry-1")).code).toBe(0);
    },
    fabricWithinMs,
  );
});

describe("weft node show", () => {
  it(
    "of a revoked node claims no membership and repeats nothing the node still says",
    async () => {
      const relay = await carrying();
      expect((await weft("node", "revoke", relay)).code).toBe(0);
      const { out } = await weft("node", "show", relay);
      expect(out).toMatchObject({ node: { identityStatus: "revoked", membershipStatus: "ended" } });
      expect(out).not.toHaveProperty("status");
      for (const word of ["drain", "undrain"]) {
        expect(await weft("node", word, relay)).toMatchObject({ code: 1, out: { detail: "NODE_REVOKED" } });
      }
      const { stdout } = await world.weft("node", "show", relay);
      expect(stdout).toMatch(/^membership +ended$/m);
      expect(stdout).not.toMatch(/^(link|paths) /m);
      await progress();
    },
    fabricWithinMs,
  );
});
