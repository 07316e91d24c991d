/**
 * A revocation that only one node hears of: signed by control while the gate between nodes and control is closed, fetched
 * with the identity of a live relay, and handed to one neighbour of the revoked one over a link.
 */

import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { rootsOf } from "../../certs/bundle.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { layoutOf } from "../../cli/up/layout.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import { linkServerName } from "../../fabric/server-names.ts";
import { ControlService } from "../../gen/weft/control/v1/control_pb.ts";
import { RevocationFeedSchema, type SignedFeed } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { type Neighbour, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { RelayService } from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { nodeLinkHttp2 } from "../../node/link-http2.ts";
import type { NodeIdentity } from "../../node/ports.ts";
import { rpcClient } from "../../rpc/client.ts";
import { controlTransport } from "../../rpc/grpc-js-transport.ts";
import { openClientSession } from "../../rpc/http2-profile.ts";
import { http2Transport } from "../../rpc/http2-transport.ts";
import { revokeNode, type Standing } from "../load/standing.ts";

export interface Statement {
  /** Hands the signed feed over; resolves when the neighbour has answered. */
  handOver(): Promise<void>;
  close(): void;
}

function identityOf(standing: Standing, name: string): NodeIdentity {
  const stored = loadIdentity(join(layoutOf(standing.fabric.root).nodeDir(name), "state"));
  if (stored === undefined) throw new Error(`${name} has no identity`);
  return stored.identity;
}

function expectedOf<K extends "control" | "node">(identity: NodeIdentity, kind: K) {
  const { trustDomain, clusterId, bundle } = identity;
  return { kind, trustDomain, clusterId, roots: rootsOf(bundle, kind), nowMs: () => systemClock.nowMs() } as const;
}

interface Heard {
  readonly feed: SignedFeed;
  readonly neighbours: readonly Neighbour[];
}

/** What control tells `as`: its snapshot's neighbours, and the feed once it is at least at `seq`. */
async function hear(standing: Standing, as: NodeIdentity, seq: bigint): Promise<Heard> {
  const transport = controlTransport({
    addresses: [`127.0.0.1:${standing.fabric.plan.control.publicPort}`],
    serverName: as.controlName,
    tls: () =>
      tlsOptions("dial-control", {
        identity: as.leaf,
        expect: expectedOf(as, "control"),
        serverName: as.controlName,
      }),
    clock: systemClock,
    log: silentLog,
  });
  const abort = AbortSignal.timeout(10_000);
  let neighbours: readonly Neighbour[] | undefined;
  let feed: SignedFeed | undefined;
  try {
    for await (const { message } of rpcClient(ControlService, transport).watchSnapshot({}, { signal: abort })) {
      if (message.case === "snapshot") neighbours = fromBinary(SnapshotSchema, message.value.payload).neighbours;
      if (message.case === "feed" && fromBinary(RevocationFeedSchema, message.value.payload).seq >= seq) {
        feed = message.value;
      }
      if (neighbours !== undefined && feed !== undefined) return { feed, neighbours };
    }
  } finally {
    transport.close();
  }
  throw new Error("control ended the watch before it told the feed");
}

/**
 * Has control sign that `revoked` is revoked, and prepares to tell `peer`, speaking as the live relay `as`. No node may hear
 * control while this runs: the caller has closed the gate.
 */
export async function signStatement(standing: Standing, revoked: string, as: string, peer: string): Promise<Statement> {
  const { seq } = await revokeNode(standing, standing.node(revoked).id);
  const identity = identityOf(standing, as);
  const { feed, neighbours } = await hear(standing, identity, seq);
  const { epoch } = fromBinary(RevocationFeedSchema, feed.payload);
  const neighbour = neighbours.find(({ nodeId }) => nodeId === standing.node(peer).id);
  if (neighbour === undefined) throw new Error(`${peer} is no neighbour of ${as}`);
  const dial = { clock: systemClock, deadlineMs: 5_000 };
  const raw = await dialTcp(neighbour.addresses, dial);
  const tls = await startTls(
    raw,
    tlsOptions("dial-node-link", {
      identity: identity.leaf,
      expect: { ...expectedOf(identity, "node"), ids: [neighbour.nodeId] },
      serverName: linkServerName(neighbour.linkLabel, identity.clusterSlug),
    }),
    dial,
  );
  const session = openClientSession(tls, nodeLinkHttp2);
  const client = rpcClient(RelayService, http2Transport(session, { defaultTimeoutMs: 5_000 }));
  return {
    handOver: async () => {
      await client.exchangeFeed({ feed, epoch, seq });
    },
    close: () => {
      session.destroy();
      raw.destroy();
    },
  };
}
