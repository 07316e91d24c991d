/** Two edges on loopback with real certificates: paths between a `TrunkPool` and a `TrunkAcceptor`. For tests and benches. */

import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect as connectTcp } from "node:net";
import type { TLSSocket } from "node:tls";
import { connect as connectTls, createServer } from "node:tls";
import { createRoot, issueLeaf } from "../../certs/ca.ts";
import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import type { LeafOf, RootsOf } from "../../certs/material.ts";
import { leafOfKind, rootsOfKind } from "../../certs/material.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import type { AcceptedPath, EdgePath } from "../../edge/edge-path.ts";
import { systemRandom } from "../../lib/random.ts";

export interface Identities {
  readonly entry: LeafOf<"node">;
  readonly egress: LeafOf<"node">;
  readonly roots: RootsOf<"node">;
}

const place = { trustDomain: "weft.test", clusterId: "aaaaaaaaaaaaaaaa" };

/** A node root and two leaves under it. */
export async function makeIdentities(): Promise<Identities> {
  const nowMs = Date.now();
  const ca = await createRoot({ kind: "node", clusterName: "test", generation: 1, nowMs, random: systemRandom });
  const roots = rootsOfKind("node", [ca.root.der]);
  const leaf = async (id: string): Promise<LeafOf<"node">> => {
    const keys = generateP256();
    const issued = await issueLeaf(ca, {
      id: { ...place, kind: "node", id },
      spkiDer: keys.spkiDer,
      nowMs,
      random: systemRandom,
    });
    return leafOfKind("node", privateKeyPem(keys.privateKey), issued.certificateDer);
  };
  return { entry: await leaf("entryentryentry2"), egress: await leaf("egressegressegr2"), roots };
}

export interface EdgeListener {
  readonly port: number;
  /** TCP sockets it has. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** A TLS listener that hands every judged connection to `onPath`. */
export async function listenForPaths(
  identities: Identities,
  onPath: (path: AcceptedPath<string>) => void,
): Promise<EdgeListener> {
  const server = createServer(tlsOptions("path-end-node", { identity: identities.egress, trust: identities.roots }));
  const byPeerPort = new Map<number, Socket>();
  const sockets = new Set<Socket>();
  server.on("connection", (raw: Socket) => {
    sockets.add(raw);
    byPeerPort.set(raw.remotePort as number, raw);
    raw.once("close", () => sockets.delete(raw));
  });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (tls: TLSSocket) => {
    tls.on("error", () => {});
    const raw = byPeerPort.get(tls.remotePort as number);
    // The dialler is gone already.
    if (raw === undefined) return;
    onPath({ tls, raw, hops: ["entry", "egress"], peerKey: "entry|org", organizationId: "org", context: "path" });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

/** A judged connection to a listener of `listenForPaths`, as the initiator gets it. */
export async function dialPath(identities: Identities, port: number, closed?: () => void): Promise<EdgePath> {
  const raw = connectTcp({ port, host: "127.0.0.1" });
  raw.setNoDelay(true);
  const expect = { ...place, kind: "node" as const, roots: identities.roots, nowMs: () => Date.now() };
  const tls = connectTls({ ...tlsOptions("dial-path-end-node", { identity: identities.entry, expect }), socket: raw });
  await once(tls, "secureConnect");
  tls.on("error", () => {});
  return { tls, raw, hops: ["entry", "egress"], ...(closed === undefined ? {} : { close: closed }) };
}
