/** Which policy counts, and what it means for paths, lanes and channels. */

import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  appliedPolicy,
  channelWeight,
  defaultPriority,
  laneShape,
  type QosFields,
  rateShape,
  strictest,
} from "../../../fabric/qos.ts";
import { ChannelClass } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { ResourceRouteSchema, SnapshotSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { KiB, limits } from "../../../lib/limits.ts";
import { pathRate } from "../../../node/path-rate.ts";
import { trunkQos } from "../../../node/roles/trunk-qos.ts";
import { runs } from "../../harness/counts.ts";

const classes = [ChannelClass.BULK, ChannelClass.INTERACTIVE, ChannelClass.DROPPABLE] as const;
const anyClass = fc.constantFrom(...classes);
const anyRow: fc.Arbitrary<QosFields> = fc.record({
  class: anyClass,
  priority: fc.integer({ min: 0, max: limits.qosPriorityMaxCount }),
  rateBytesPerSecond: fc.oneof(fc.constant(0n), fc.bigInt({ min: 65_536n, max: 10_000_000_000n })),
  burstBytes: fc.oneof(fc.constant(0n), fc.bigInt({ min: 131_072n, max: 1_073_741_824n })),
  organizationId: fc.constantFrom("", "orgx", "orgy"),
  resourceId: fc.constantFrom("", "r1", "r2"),
});
const anySource = fc.uniqueArray(anyRow, {
  selector: (row) => `${row.class}/${row.organizationId}/${row.resourceId}`,
  maxLength: 12,
});
const anyRate = fc.option(
  fc.record({ rateBytesPerSecond: fc.integer({ min: 1 }), burstBytes: fc.integer({ min: 1 }) }),
  { nil: undefined },
);
const row = (change: Partial<QosFields>): QosFields => ({
  ...{
    class: ChannelClass.BULK,
    priority: 1,
    rateBytesPerSecond: 0n,
    burstBytes: 0n,
    organizationId: "",
    resourceId: "",
  },
  ...change,
});

describe("QO1 the policy that counts", () => {
  it("is the most specific one that there is, whole", () => {
    fc.assert(
      fc.property(
        anySource,
        anyClass,
        fc.constantFrom("orgx", "orgy"),
        fc.constantFrom("", "r1", "r2"),
        (rows, channelClass, organizationId, resourceId) => {
          const source = {
            qos: rows.filter((each) => each.resourceId === ""),
            resourceQos: rows.filter((each) => each.resourceId !== ""),
          };
          const found = appliedPolicy(source, { class: channelClass, organizationId, resourceId });
          const at = (organization: string, resource: string): QosFields | undefined =>
            rows.find(
              (each) =>
                each.class === channelClass && each.organizationId === organization && each.resourceId === resource,
            );
          const expected =
            (resourceId === "" ? undefined : at(organizationId, resourceId)) ?? at(organizationId, "") ?? at("", "");
          expect(found.class).toBe(channelClass);
          expect(found.priority).toBe(expected?.priority || defaultPriority(channelClass));
          expect(found.rate?.rateBytesPerSecond ?? 0).toBe(Number(expected?.rateBytesPerSecond ?? 0n));
          expect(found.scope === "default").toBe(expected === undefined);
          // Order of rows decides nothing.
          const reversed = { qos: [...source.qos].reverse(), resourceQos: [...source.resourceQos].reverse() };
          expect(appliedPolicy(reversed, { class: channelClass, organizationId, resourceId })).toEqual(found);
        },
      ),
      { numRuns: runs(300, 20_000) },
    );
  });

  it("never lets one organization's policy or resource decide for another", () => {
    const source = {
      qos: [row({ organizationId: "orgy", rateBytesPerSecond: 70_000n })],
      resourceQos: [row({ organizationId: "orgy", resourceId: "r1", rateBytesPerSecond: 80_000n })],
    };
    const question = { class: ChannelClass.BULK, organizationId: "orgx", resourceId: "r1" };
    expect(appliedPolicy(source, question)).toMatchObject({ scope: "default", rate: undefined });
  });
});

describe("rates", () => {
  it("QO3 leave relays nothing to hold back: a lane stays below its path in rate and burst", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 65_536n, max: 1_000_000_000_000n }),
        fc.bigInt({ min: 0n, max: 1_073_741_824n }),
        (rate, burst) => {
          const path = rateShape(rate, burst);
          const lane = laneShape(path);
          if (path === undefined || lane === undefined) throw new Error("no rate");
          expect(lane.rateBytesPerSecond).toBeLessThan(path.rateBytesPerSecond);
          expect(lane.rateBytesPerSecond).toBeGreaterThan(0.9 * path.rateBytesPerSecond);
          expect(lane.burstBytes).toBeLessThan(path.burstBytes);
          expect(lane.burstBytes).toBeGreaterThanOrEqual(limits.qosChunkBytes);
        },
      ),
      { numRuns: runs(200, 20_000) },
    );
  });

  it("of two the strictest is no more than either, whichever comes first", () => {
    fc.assert(
      fc.property(anyRate, anyRate, (a, b) => {
        const both = strictest(a, b);
        expect(strictest(b, a)).toEqual(both);
        for (const each of [a, b]) {
          if (each === undefined) continue;
          expect(both?.rateBytesPerSecond).toBeLessThanOrEqual(each.rateBytesPerSecond);
          expect(both?.burstBytes).toBeLessThanOrEqual(each.burstBytes);
        }
        if (a === undefined && b === undefined) expect(both).toBeUndefined();
      }),
      { numRuns: runs(200, 20_000) },
    );
  });

  it("a relay holds a path to the lower of the offer and its own policy: an offer cannot ask for more", () => {
    const snapshot = {
      qos: [row({ organizationId: "orgx", rateBytesPerSecond: 1_000_000n })],
      resourceQos: [],
    } as unknown as Parameters<typeof pathRate>[1];
    const offer = { class: ChannelClass.BULK, organizationId: "orgx", burstBytes: 0n };
    const rateOf = (asked: bigint) => pathRate({ ...offer, rateBytesPerSecond: asked }, snapshot)?.rateBytesPerSecond;
    expect(rateOf(0n)).toBe(1_000_000);
    expect(rateOf(5_000_000n)).toBe(1_000_000);
    expect(rateOf(200_000n)).toBe(200_000);
    expect(pathRate({ ...offer, organizationId: "orgy", rateBytesPerSecond: 0n }, snapshot)).toBeUndefined();
  });
});

describe("a trunk's policy", () => {
  const snapshot = create(SnapshotSchema, {
    qos: [row({ rateBytesPerSecond: 1_000_000n }), row({ class: ChannelClass.DROPPABLE, rateBytesPerSecond: 90_000n })],
    resourceQos: [row({ organizationId: "orgx", resourceId: "r1", priority: 4, rateBytesPerSecond: 200_000n })],
  });
  snapshot.resourceRoutes.push(
    create(ResourceRouteSchema, { resourceId: "r1", name: "slow", organizationId: "orgx" }),
    create(ResourceRouteSchema, { resourceId: "r2", name: "other", organizationId: "orgx" }),
  );
  const open = (resource: string, channelClass: ChannelClass) =>
    ({ resource, class: channelClass, origin: undefined, correlationId: "" }) as const;

  it("binds the lane by the cluster's rate and a resource's channels by their own, besides", () => {
    const qos = trunkQos(snapshot, "orgx");
    expect(qos.lane("bulk")).toEqual({ rateBytesPerSecond: 950_000, burstBytes: 128 * KiB });
    expect(qos.lane("interactive")).toBeUndefined();
    expect(qos.channel(open("slow", ChannelClass.BULK))).toMatchObject({
      weight: 4,
      rate: { rateBytesPerSecond: 190_000 },
    });
    expect(qos.channel(open("other", ChannelClass.BULK))).toMatchObject({ weight: 1, rate: undefined });
    expect(qos.channel(open("other", ChannelClass.DROPPABLE)).rate?.rateBytesPerSecond).toBe(85_500);
    // Another organization's resource of the same name is another resource.
    expect(trunkQos(snapshot, "orgy").channel(open("slow", ChannelClass.BULK))).toMatchObject({
      weight: 1,
      rate: undefined,
    });
  });

  it("weighs channels against what their lane is usual for", () => {
    expect(channelWeight(ChannelClass.INTERACTIVE, 8)).toBe(1);
    expect(channelWeight(ChannelClass.DROPPABLE, defaultPriority(ChannelClass.DROPPABLE))).toBe(0.5);
    expect(channelWeight(ChannelClass.BULK, 1)).toBe(1);
  });
});
