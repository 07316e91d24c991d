/** What is replaced while a root is about to go, and when, on a clock that the tests move. */

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { rootKinds } from "../../../certs/bundle.ts";
import { type SpiffeKind, spiffeKinds } from "../../../certs/spiffe.ts";
import { RootStatus, type TrustBundle, TrustRootSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { seededRandom } from "../../../lib/random.ts";
import type { NodeIdentity } from "../../../node/ports.ts";
import { type Rollable, startTaintedRoll } from "../../../node/tainted-roll.ts";
import { bundleOf, identity, pki } from "./stage.ts";

/** The roots of the test's installation, some of them about to go. */
function tainting(...tainted: SpiffeKind[]): TrustBundle {
  const roots = spiffeKinds.map((kind) => {
    const status = tainted.includes(kind) ? RootStatus.TAINTED : RootStatus.ACTIVE;
    return create(TrustRootSchema, { kind: rootKinds[kind], certificateDer: pki.cas[kind].root.der, status });
  });
  return { ...bundleOf(pki), roots };
}

const rootOf = (kind: SpiffeKind): string => pki.cas[kind].root.keyId;

/** A node with one neighbour, whose link stays under the roots it is said to be under, whatever is done about it. */
function stage() {
  const clock = new ManualClock();
  const rolledAtMs: number[] = [];
  let current: NodeIdentity = identity;
  let changed: () => void = () => {};
  let issuers: readonly string[] = [];
  const link: Rollable = {
    peerId: "nd-neighbour",
    get issuers() {
      return issuers;
    },
    roll: () => void rolledAtMs.push(clock.monoMs()),
  };
  startTaintedRoll({
    identity: {
      current: () => current,
      onChange: (listener) => {
        changed = () => listener(current);
        return () => {};
      },
    },
    ...{ clock, random: seededRandom(1), rollables: () => [link] },
  });
  return {
    clock,
    rolledAtMs,
    under: (...kinds: SpiffeKind[]) => {
      issuers = kinds.map(rootOf);
    },
    taint: (...kinds: SpiffeKind[]) => {
      current = { ...current, bundle: tainting(...kinds) };
      changed();
    },
  };
}

/** From a root's being tainted to what is done about it. */
const soonMs = limits.rejudgeEveryMs + limits.taintedLinkSpreadMs;

describe("what lives under a tainted root", () => {
  it("is replaced soon, and tried again after longer and longer while it stays", () => {
    const { clock, rolledAtMs, under, taint } = stage();
    under("client");
    clock.advance(5_000);
    expect(rolledAtMs).toEqual([]);
    taint("client");
    clock.advance(soonMs);
    expect(rolledAtMs).toHaveLength(1);
    clock.advance(90_000);
    const gaps = rolledAtMs.slice(1).map((atMs, at) => atMs - (rolledAtMs[at] ?? 0));
    expect(gaps).toHaveLength(4);
    expect(gaps[0]).toBeLessThan(limits.taintedPathEveryMs + soonMs);
    expect(gaps.at(-1)).toBeGreaterThan(8 * limits.taintedPathEveryMs - soonMs);
  });

  it("is replaced as soon for another root, however long it was tried in vain for the first", () => {
    const { clock, rolledAtMs, under, taint } = stage();
    under("client");
    taint("client");
    clock.advance(60_000);
    // Both at once, and one after the other.
    for (const tainted of [["client", "pool"], ["control"]] as const) {
      rolledAtMs.length = 0;
      under(...tainted);
      taint(...tainted);
      clock.advance(soonMs);
      expect(rolledAtMs, tainted.join()).toHaveLength(1);
    }
  });

  it("waits for the own leaf, which is replaced first", () => {
    const { clock, rolledAtMs, under, taint } = stage();
    under("node", "client");
    taint("node", "client");
    clock.advance(10_000);
    expect(rolledAtMs).toEqual([]);
  });
});
