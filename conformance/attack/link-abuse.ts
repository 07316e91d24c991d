/** What a thief does at a link door with a node's own key and certificate: none of it is granted more than the node is. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { SignedFeedSchema } from "../../gen/weft/fabric/v1/feed_pb.ts";
import type { Neighbour } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import {
  ExchangeFeedRequestSchema,
  FarEdge,
  type OpenPathRequest,
  RelayService,
} from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { nodeLinkHttp2 } from "../../node/link-http2.ts";
import { rpcClient } from "../../rpc/client.ts";
import { openClientSession } from "../../rpc/http2-profile.ts";
import { http2Transport } from "../../rpc/http2-transport.ts";
import type { AttackClass } from "./attack-class.ts";
import { call, message } from "./http2-calls.ts";
import type { Range, Wire } from "./range.ts";
import { type AgreedPath, agree, StolenNode } from "./stolen-node.ts";

/** The thief, whom it meets, and the calls it makes on one link. */
interface Thief {
  readonly range: Range;
  readonly dir: string;
  readonly node: StolenNode;
  readonly met: Neighbour;
  readonly relay: Client<typeof RelayService>;
  readonly wire: Wire;
}

const linksCount = 3;
const callWithinMs = 5_000;

function stolenDir({ credentials }: Range["endpoint"]): string {
  if (credentials.kind !== "node") throw new Error("a link is attacked as a node");
  return credentials.dir;
}

/** Works on a few links, each opened anew when it is cut, until the attack is over. */
async function onLinks(range: Range, work: (thief: Thief) => Promise<void>): Promise<void> {
  const dir = stolenDir(range.endpoint);
  const node = new StolenNode(dir);
  const { port, serverName = "" } = range.endpoint;
  const met = node.snapshot.neighbours.find(
    ({ linkLabel, addresses }) => serverName.startsWith(`${linkLabel}.`) && addresses.some((one) => one.port === port),
  );
  if (met === undefined) throw new Error("the node does not know whom it meets");
  await range.beside(linksCount, async () => {
    while (!range.isOver) {
      const wire = await range.dialTls({}, false);
      if (wire?.tls === undefined) continue;
      const session = openClientSession(wire.tls, nodeLinkHttp2);
      const transport = http2Transport(session, { defaultTimeoutMs: callWithinMs });
      const thief: Thief = { range, dir, node, met, wire, relay: rpcClient(RelayService, transport) };
      while (wire.isOpen && !session.closed && (await range.pace(1))) await work(thief);
      session.destroy();
    }
  });
}

/** Makes a call, counts it and its answer. Resolves with that; a refusal is undefined. */
async function answerOf<T>({ range, wire }: Thief, bytes: number, asked: Promise<T>): Promise<T | undefined> {
  wire.units += 1;
  range.spent(bytes, 1);
  asked.catch(() => {});
  try {
    const answer = await Promise.race([asked, range.ended.then(() => undefined)]);
    if (answer !== undefined) range.answered("OK");
    return answer;
  } catch (thrown) {
    range.answered(thrown instanceof WeftError && thrown.detail !== "" ? thrown.detail : "refused");
    return undefined;
  }
}

const feedFlood: AttackClass = {
  id: "link-feed-flood",
  title: "revocation feeds as large as may be, signed by nobody, one after the other",
  seen: "THR-C3",
  layer: "link",
  run: (range) => {
    const real = fromBinary(SignedFeedSchema, readFileSync(join(stolenDir(range.endpoint), "feed.bin")));
    return onLinks(range, async (thief) => {
      // Everything but the signature is right, so that all of it has to be looked at.
      const feed = create(SignedFeedSchema, { ...real, payload: range.random.bytes(limits.feedMaxBytes) });
      const asked = thief.relay.exchangeFeed(create(ExchangeFeedRequestSchema, { feed, epoch: 1n, seq: 1n }));
      const answer = await answerOf(thief, feed.payload.length, asked);
      if (answer !== undefined && (answer.epoch > 1_000n || answer.seq > 1_000n)) range.violated("it took one up");
    });
  },
};

const linkGarbage: AttackClass = {
  id: "link-garbage",
  title: "offers and tokens that are no messages, or messages of nothing",
  seen: "THR-C6, REVIEW-2",
  layer: "link",
  run: (range) => {
    const paths = ["OpenPath", "DialBack"].map((name) => `/${RelayService.typeName}/${name}`);
    const bodies = [
      (): Uint8Array => range.random.bytes(64),
      (): Uint8Array => Buffer.alloc(0),
      // A field that says it is longer than what is there, groups that never end, a field of 256 KiB.
      (): Uint8Array => Buffer.from("0affffffff0f", "hex"),
      (): Uint8Array => Buffer.alloc(512, 0x0b),
      (): Uint8Array => Buffer.concat([Buffer.from("0a808010", "hex"), Buffer.alloc(256 * 1_024)]),
    ];
    return call(
      range,
      (nth) => ({
        headers: { ":path": paths[nth % paths.length] ?? "" },
        body: message(false, bodies[nth % bodies.length]?.() ?? Buffer.alloc(0)),
      }),
      (status) => status === "grpc-0" || status === "silent",
    );
  },
};

type Forgery = (thief: Pick<Thief, "node" | "met">) => OpenPathRequest;

const nobody = "aaaaaaaaaaaaaaaa";
const hourMs = 3_600_000n;

/** Offers with one thing wrong. */
export const forgeries: readonly Forgery[] = [
  // In somebody else's name, under its own certificate.
  ({ node, met }) => node.offer([nobody, ...node.hopsThrough(met).slice(1)], { initiatorId: nobody }),
  // As if another node had asked it first.
  ({ node, met }) =>
    node.offer([nobody, ...node.hopsThrough(met)], { initiatorId: nobody, initiatorLeafSerial: Buffer.alloc(16, 1) }),
  ({ node, met }) => node.offer(node.hopsThrough(met), { initiatorLeafSerial: Buffer.alloc(16, 1) }),
  // For whom no egress is there.
  ({ node, met }) => node.offer(node.hopsThrough(met), { organizationId: nobody }),
  ({ node, met }) => node.offer(node.hopsThrough(met), { clusterId: nobody }),
  ({ node, met }) => node.offer(node.hopsThrough(met), { trustDomain: "elsewhere.test" }),
  ({ node, met }) =>
    node.offer(node.hopsThrough(met), { farEdge: FarEdge.POOL, poolId: nobody, askHash: Buffer.alloc(32, 1) }),
  // To itself, to nobody, past the hop that is asked.
  ({ node, met }) => node.offer([node.identity.nodeId, met.nodeId]),
  ({ node, met }) => node.offer([node.identity.nodeId, met.nodeId, nobody]),
  ({ node, met }) => node.offer([node.identity.nodeId, nobody, met.nodeId]),
  // Of another time.
  ({ node, met }) => node.offer(node.hopsThrough(met), { issuedAtMs: 1n, expiresAtMs: 2n }),
  ({ node, met }) => {
    const issuedAtMs = BigInt(systemClock.nowMs()) + hourMs;
    return node.offer(node.hopsThrough(met), { issuedAtMs, expiresAtMs: issuedAtMs + 1n });
  },
  // After a feed that nobody has.
  ({ node, met }) => node.offer(node.hopsThrough(met), { feedEpoch: 1_000n, feedSeq: 1n }),
  ({ node, met }) => {
    const offer = node.offer(node.hopsThrough(met));
    offer.signature[9] = (offer.signature[9] ?? 0) ^ 1;
    return offer;
  },
  ({ node, met }) => ({ ...node.offer(node.hopsThrough(met)), initiatorCertificate: Buffer.from("30030201", "hex") }),
];

const forgedOffers: AttackClass = {
  id: "link-forged-offers",
  title: "path offers with one thing wrong, and good ones for the second time",
  seen: "THR-C3, REVIEW-1, REVIEW-2, REVIEW-20",
  layer: "link",
  run: (range) => {
    let nth = 0;
    return onLinks(range, async (thief) => {
      const at = nth++ % (forgeries.length + 1);
      const request = forgeries[at]?.(thief) ?? thief.node.offer(thief.node.hopsThrough(thief.met));
      const agreed = await answerOf(thief, request.offer.length, agree(thief.relay, request));
      if (agreed !== undefined && at < forgeries.length) range.violated(`forgery ${at} was agreed to`);
      agreed?.stop();
      if (agreed === undefined || at < forgeries.length) return;
      const again = await answerOf(thief, request.offer.length, agree(thief.relay, request));
      if (again !== undefined) range.violated("an offer was agreed to twice");
      again?.stop();
    });
  },
};

const pathFlood: AttackClass = {
  id: "link-path-flood",
  title: "good path offers by the thousand, whose tokens nobody brings",
  seen: "REVIEW-1, REVIEW-24",
  layer: "link",
  run: async (range) => {
    const pending = new Set<AgreedPath>();
    await onLinks(range, async (thief) => {
      const request = thief.node.offer(thief.node.hopsThrough(thief.met));
      const agreed = await answerOf(thief, request.offer.length, agree(thief.relay, request));
      if (agreed === undefined) return;
      pending.add(agreed);
      void agreed.over.then(() => pending.delete(agreed));
      if (pending.size > limits.pendingPathsPerInitiatorMaxCount) range.violated(`${pending.size} paths are pending`);
    });
    for (const { stop } of pending) stop();
  },
};

const legReplay: AttackClass = {
  id: "link-leg-replay",
  title: "leg tokens brought again, cut short and altered, and legs full of garbage",
  seen: "LAW-R1, REVIEW-1",
  layer: "link",
  run: (range) =>
    onLinks(range, async (thief) => {
      const request = thief.node.offer(thief.node.hopsThrough(thief.met));
      const agreed = await answerOf(thief, request.offer.length, agree(thief.relay, request));
      if (agreed === undefined) return;
      const good = encodeLegPreamble(agreed.token);
      const altered = Uint8Array.from(good);
      altered[20] = (altered[20] ?? 0) ^ 1;
      const isAnswered = async (bytes: Uint8Array): Promise<boolean> => {
        const wire = await range.dial();
        let heard = false;
        wire?.raw.on("data", () => (heard = true));
        await wire?.write(bytes);
        await wire?.untilCut(callWithinMs);
        wire?.drop();
        return heard;
      };
      // What comes behind a good token reaches the far edge, which hears that it is no TLS.
      await isAnswered(Buffer.concat([good, range.random.bytes(4_096)]));
      for (const bytes of [good, altered, good.subarray(0, 36)])
        if (await isAnswered(bytes)) range.violated("a token was good for a second connection");
      agreed.stop();
    }),
};

export const linkAbuse: readonly AttackClass[] = [
  feedFlood,
  linkGarbage,
  forgedOffers,
  legReplay,
  // Last: what it leaves pending lapses after seconds.
  pathFlood,
];
