import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { generateP256 } from "../../../../certs/keys.ts";
import { askHash, signAsk } from "../../../../fabric/path/ask.ts";
import { FarEdge, PathOfferSchema } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import type { PathEnd } from "../../../../node/path-end.ts";
import { AskVoucher } from "../../../../node/roles/vouch-ask.ts";
import { clusterId, nowMs, snapshotWith, testPorts } from "../stage.ts";

const keys = generateP256();
const trunkId = new Uint8Array(16).fill(7);
const snapshot = snapshotWith({
  resourceTargets: [
    { name: "web", organizationId: "org-1", poolId: "pl-1" },
    { name: "other-pool", organizationId: "org-1", poolId: "pl-2" },
    { name: "other-org", organizationId: "org-2", poolId: "pl-1" },
  ],
});

function askOf(fields: object = {}, by = keys) {
  return signAsk(by.privateKey, {
    clusterId,
    clientId: "ct-1",
    resource: "web",
    trunkId,
    nonce: new Uint8Array(16).fill(4),
    issuedAtMs: BigInt(nowMs),
    expiresAtMs: BigInt(nowMs + 5_000),
    ...fields,
  });
}

const shown = ({ ask, signature }: ReturnType<typeof askOf>) => ({ ask, askSignature: signature });

/** A path that came by an offer which carried the hash of `asked`, ended by client ct-1. */
function endOf(asked = askOf(), over: Partial<PathEnd["caller"]> = {}, offer: object = {}): PathEnd {
  return {
    offer: create(PathOfferSchema, {
      farEdge: FarEdge.POOL,
      organizationId: "org-1",
      poolId: "pl-1",
      trunkId,
      askHash: askHash(asked),
      ...offer,
    }),
    caller: {
      kind: "client",
      id: { trustDomain: "weft.test", clusterId, kind: "client", id: "ct-1" },
      spiffe: "spiffe://weft.test/client/ct-1",
      spkiDer: keys.spkiDer,
      sourceAddress: "",
      arrivedBy: "path",
      ...over,
    },
  } as unknown as PathEnd;
}

describe("the far edge, shown an ask", () => {
  it("vouches for the one its path was offered for, and knows the resource from then on", () => {
    const asks = new AskVoucher(testPorts(snapshot));
    const end = endOf();
    expect(asks.resourceOf(end)).toBeUndefined();
    expect(asks.vouches(end, shown(askOf()))).toBe(false);
    // Signatures are randomized: only the very bytes whose hash was offered will do.
    const asked = askOf();
    const offered = endOf(asked);
    expect(asks.vouches(offered, shown(asked))).toBe(true);
    expect(asks.resourceOf(offered)).toBe("web");
  });

  it("vouches for further lanes of a path by the same bytes, however old they are", () => {
    const ports = testPorts(snapshot);
    const asks = new AskVoucher(ports);
    const asked = askOf();
    const end = endOf(asked);
    expect(asks.vouches(end, shown(asked))).toBe(true);
    ports.clock.advance(10 * limits.offerLifeMs);
    expect(asks.vouches(end, shown(asked))).toBe(true);
    expect(asks.vouches(end, shown(askOf()))).toBe(false);
    // A new path is another matter.
    expect(asks.vouches(endOf(asked), shown(asked))).toBe(false);
  });

  it.each<[string, object]>([
    ["another client", { clientId: "ct-2" }],
    ["another cluster", { clusterId: "cl-b" }],
    ["another trunk", { trunkId: new Uint8Array(16).fill(8) }],
    ["a resource that is not here", { resource: "nothing" }],
    ["a resource of another pool", { resource: "other-pool" }],
    ["a resource of another organization", { resource: "other-org" }],
    ["a time long gone", { issuedAtMs: BigInt(nowMs - 60_000), expiresAtMs: BigInt(nowMs - 55_000) }],
  ])("refuses an ask about %s, though the offer carried its hash", (_what, fields) => {
    const asked = askOf(fields);
    expect(new AskVoucher(testPorts(snapshot)).vouches(endOf(asked), shown(asked))).toBe(false);
  });

  it("refuses an ask that another key signed, that was altered, or that is not there", () => {
    const asks = new AskVoucher(testPorts(snapshot));
    const foreign = askOf({}, generateP256());
    expect(asks.vouches(endOf(foreign), shown(foreign))).toBe(false);
    const asked = askOf();
    const altered = Uint8Array.from(asked.ask);
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(asks.vouches(endOf(asked), { ask: altered, askSignature: asked.signature })).toBe(false);
    const none = { ask: new Uint8Array(), askSignature: new Uint8Array() };
    expect(asks.vouches(endOf(asked), none)).toBe(false);
    expect(asks.vouches(endOf(asked, {}, { askHash: new Uint8Array(32) }), shown(asked))).toBe(false);
  });

  it("refuses a node that shows a client's ask", () => {
    const asked = askOf();
    const id = { trustDomain: "weft.test", clusterId, kind: "node", id: "ct-1" } as const;
    expect(new AskVoucher(testPorts(snapshot)).vouches(endOf(asked, { kind: "node", id }), shown(asked))).toBe(false);
  });

  it("takes nothing to be shown between nodes, and nothing else", () => {
    const asks = new AskVoucher(testPorts(snapshot));
    const end = endOf(askOf(), {}, { farEdge: FarEdge.NODE });
    expect(asks.vouches(end, { ask: new Uint8Array(), askSignature: new Uint8Array() })).toBe(true);
    expect(asks.vouches(end, shown(askOf()))).toBe(false);
    expect(asks.resourceOf(end)).toBeUndefined();
  });
});
