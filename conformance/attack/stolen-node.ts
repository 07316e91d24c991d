/**
 * A node as whoever copied its folder has it: its key, its certificate and its snapshot, used from elsewhere while the node
 * itself runs on. It speaks as the node to neighbours, and says what no node would.
 */

import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { rootsOf } from "../../certs/bundle.ts";
import { type ClientTlsOptions, tlsOptions } from "../../certs/tls-options.ts";
import { dialTcp, startTls } from "../../edge/dial.ts";
import { signOffer } from "../../fabric/path/offer.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import { linkServerName } from "../../fabric/server-names.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  type Neighbour,
  type Snapshot,
  SnapshotEnvelopeSchema,
  SnapshotSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import {
  FarEdge,
  type OpenPathRequest,
  OpenPathRequestSchema,
  type PathOfferSchema,
  PathPurpose,
  RelayService,
} from "../../gen/weft/relay/v1/relay_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { nodeLinkHttp2 } from "../../node/link-http2.ts";
import type { NodeIdentity } from "../../node/ports.ts";
import { rpcClient } from "../../rpc/client.ts";
import { openClientSession } from "../../rpc/http2-profile.ts";
import { http2Transport } from "../../rpc/http2-transport.ts";
import { type Endpoint, tlsOf } from "./target.ts";

/** A connection to a neighbour's link door. */
export interface StolenLink {
  readonly relay: Client<typeof RelayService>;
  readonly raw: Socket;
  close(): void;
}

/** A first hop that agreed: the token it gave, and what the call to it goes on to say. */
export interface AgreedPath {
  readonly token: Uint8Array;
  /** Resolves when the call is over, and with it the path if nobody brought the token. */
  readonly over: Promise<void>;
  /** Gives the call up. */
  stop(): void;
}

const dial = { clock: systemClock, deadlineMs: limits.linkDialDeadlineMs };

export class StolenNode {
  readonly #dir: string;
  readonly identity: NodeIdentity;
  readonly snapshot: Snapshot;

  /** Takes what the state folder holds now. */
  constructor(stateDir: string) {
    const stored = loadIdentity(stateDir);
    if (stored === undefined)
      throw new WeftError("failed_precondition", `${stateDir} holds no identity of a node`, {
        detail: "ATTACK_IDENTITY",
      });
    this.#dir = stateDir;
    this.identity = stored.identity;
    const envelope = fromBinary(SnapshotEnvelopeSchema, readFileSync(join(stateDir, "snapshot.bin")));
    this.snapshot = fromBinary(SnapshotSchema, envelope.payload);
  }

  /** An organization whose paths it may open. */
  get organizationId(): string {
    return this.snapshot.pools[0]?.organizationId ?? "";
  }

  /** This node, a neighbour, and an egress of that organization. */
  hopsThrough({ nodeId }: Neighbour): string[] {
    return [this.identity.nodeId, nodeId, this.snapshot.pools[0]?.egressNodeIds[0] ?? ""];
  }

  /** A neighbour that can be dialled, by its name or id. */
  neighbour(name: string): Neighbour {
    const found = this.snapshot.neighbours.find((one) => one.name === name || one.nodeId === name);
    if (found === undefined || found.addresses.length === 0) throw new Error(`${name} is no neighbour with an address`);
    return found;
  }

  /** The link door of a neighbour. */
  endpoint({ addresses, linkLabel }: Neighbour): Endpoint {
    const { host = "", port = 0 } = addresses[0] ?? {};
    const serverName = linkServerName(linkLabel, this.identity.clusterSlug);
    return { host, port, serverName, credentials: { kind: "node", dir: this.#dir, port: "link" } };
  }

  /** Opens a link as the node would. */
  async link(neighbour: Neighbour): Promise<StolenLink> {
    const endpoint = this.endpoint(neighbour);
    const raw = await dialTcp([endpoint], dial);
    const tls = await startTls(raw, tlsOf(endpoint), dial);
    const session = openClientSession(tls, nodeLinkHttp2);
    const relay = rpcClient(RelayService, http2Transport(session, { defaultTimeoutMs: limits.rpcDeadlineMaxMs }));
    return {
      relay,
      raw,
      close() {
        session.destroy();
        raw.destroy();
      },
    };
  }

  /** A path offer in the node's name; what an honest one says unless `over` says otherwise. */
  offer(hops: readonly string[], over: MessageInitShape<typeof PathOfferSchema> = {}): OpenPathRequest {
    const { trustDomain, clusterId, nodeId, leaf } = this.identity;
    const nowMs = systemClock.nowMs();
    const signed = signOffer(createPrivateKey(leaf.keyPem), {
      trustDomain,
      clusterId,
      initiatorId: nodeId,
      initiatorLeafSerial: Buffer.from(leaf.serialHex, "hex"),
      hops: [...hops],
      farEdge: FarEdge.NODE,
      purpose: PathPurpose.NEW,
      trunkId: systemRandom.bytes(16),
      class: ChannelClass.BULK,
      organizationId: this.organizationId,
      issuedAtMs: BigInt(nowMs),
      expiresAtMs: BigInt(nowMs + limits.offerLifeMs),
      nonce: systemRandom.bytes(16),
      ...over,
    });
    return create(OpenPathRequestSchema, { ...signed, initiatorCertificate: leaf.certificateDer });
  }

  /** The TLS of a path's end, as this node demands it of the far edge. */
  pathTls(farEdgeId: string): ClientTlsOptions {
    const { trustDomain, clusterId, leaf, bundle } = this.identity;
    const known = { kind: "node" as const, trustDomain, clusterId, ids: [farEdgeId] };
    const expect = { ...known, roots: rootsOf(bundle, "node"), nowMs: () => systemClock.nowMs() };
    return tlsOptions("dial-path-end-node", { identity: leaf, expect });
  }
}

/** Asks a hop; resolves once it has agreed. Rejects with its refusal. */
export async function agree(relay: Client<typeof RelayService>, request: OpenPathRequest): Promise<AgreedPath> {
  const abort = new AbortController();
  const answers = relay.openPath(request, { signal: abort.signal, timeoutMs: 0 })[Symbol.asyncIterator]();
  const first = await answers.next();
  if (first.done === true || first.value.event.case !== "ready") throw new Error("neither a token nor a refusal");
  return { token: first.value.event.value.legToken, over: drain(answers), stop: () => abort.abort() };
}

async function drain(answers: AsyncIterator<unknown>): Promise<void> {
  try {
    while ((await answers.next()).done !== true);
  } catch {
    // The call is over.
  }
}

/** Brings the first leg of a path to a hop that has agreed to it. */
export async function bringLeg({ addresses }: Neighbour, token: Uint8Array): Promise<Socket> {
  const raw = await dialTcp(addresses, dial);
  raw.write(encodeLegPreamble(token));
  return raw;
}

/** Shakes hands with the far edge through everything between. */
export async function reachFarEdge(raw: Socket, tls: ClientTlsOptions): Promise<TLSSocket> {
  return await startTls(raw, tls, dial);
}
