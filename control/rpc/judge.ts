/**
 * Who is at the other end of a connection to control: the certificate as `judgePeer` sees it, then (issuer, serial) on the
 * allowlist. Asked when a connection comes, before every RPC and every second.
 */

import type { TLSSocket } from "node:tls";
import { type Expectation, judgePeer, type Peer } from "../../certs/judge.ts";
import { formatSpiffe } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { type ArrivedBy, type Caller, isRefusal, type Verdict } from "../../rpc/caller.ts";
import type { Allowlist } from "../domain/allowlist.ts";

/** A caller of control with a certificate: what its door expects, and how it came. */
export interface Expected {
  readonly expect: Expectation<"node"> | Expectation<"operator">;
  readonly arrivedBy: ArrivedBy;
}

type Judges = Pick<Allowlist, "judge" | "hold" | "clones">;

/** Rejects (`unavailable`) when the allowlist cannot be asked. */
export async function judgeCaller(
  socket: TLSSocket,
  expected: Expected,
  allowlist: Judges,
  sourceAddress = socket.remoteAddress ?? "",
): Promise<Verdict> {
  const { expect, arrivedBy } = expected;
  const peer = judgePeer<"node" | "operator">(socket, expect);
  if (!peer.ok) return { refused: peer.why };
  const listed = await judgeLeaf(socket, peer, allowlist, sourceAddress);
  if (!listed.allowed) return { refused: listed.detail };
  const spiffe = formatSpiffe(peer.id);
  // The row vouches for this serial as exactly this subject; anything else is a forged or mixed-up row.
  if (listed.spiffe !== spiffe || listed.keyHash !== peer.keyHash) return { refused: "CERTIFICATE_UNKNOWN" };
  const common = {
    id: peer.id,
    spiffe,
    serialHex: peer.serialHex,
    keyHashHex: peer.keyHash,
    issuerKeyIdHex: peer.issuerKeyId,
    sourceAddress,
    arrivedBy,
  };
  const caller: Caller =
    expect.kind === "operator"
      ? { kind: "operator", ...common }
      : {
          kind: "node",
          ...common,
          clusterId: peer.id.clusterId,
          roles: listed.roles,
          ...(listed.memberActive ? {} : { suspended: true }),
          ...((await allowlist.hold.holds()) ? { held: true } : {}),
        };
  return caller;
}

/** What the allowlist says, once a restore's gap in it is closed as far as this leaf goes. */
async function judgeLeaf(
  socket: TLSSocket,
  peer: Peer,
  allowlist: Judges,
  source: string,
): ReturnType<Allowlist["judge"]> {
  const listed = await allowlist.judge(peer.issuerKeyId, peer.serialHex, source);
  if (listed.allowed || listed.detail !== "CERTIFICATE_UNKNOWN" || peer.id.kind !== "node") return listed;
  const der = socket.getPeerX509Certificate()?.raw;
  if (der === undefined || !(await allowlist.hold.adopt(peer, der))) return listed;
  return await allowlist.judge(peer.issuerKeyId, peer.serialHex, source);
}

/** Somebody comes anew with a certificate that another has replaced. */
function tellReuse(socket: TLSSocket, { expect }: Expected, allowlist: Judges): void {
  const peer = judgePeer<"node" | "operator">(socket, expect);
  if (!peer.ok) return;
  allowlist.clones.reused({ issuerKeyId: peer.issuerKeyId, serial: peer.serialHex }, socket.remoteAddress ?? "");
}

/**
 * Who may open a session. While the allowlist cannot be asked, whoever shows a right certificate may: each of its calls is
 * judged again before anything is done, and answered with the reason why that is not possible now.
 */
export async function judgeKnock(socket: TLSSocket, expected: Expected, allowlist: Judges): Promise<Verdict> {
  try {
    const verdict = await judgeCaller(socket, expected, allowlist);
    if (isRefusal(verdict) && verdict.refused === "CERTIFICATE_SUPERSEDED") tellReuse(socket, expected, allowlist);
    return verdict;
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.reason !== "unavailable") throw thrown;
    const { expect, arrivedBy } = expected;
    const peer = judgePeer<"node" | "operator">(socket, expect);
    if (!peer.ok) return { refused: peer.why };
    const { id, serialHex, keyHash: keyHashHex, issuerKeyId: issuerKeyIdHex } = peer;
    const sourceAddress = socket.remoteAddress ?? "";
    const common = { id, spiffe: formatSpiffe(id), serialHex, keyHashHex, issuerKeyIdHex, sourceAddress, arrivedBy };
    if (expect.kind === "operator") return { kind: "operator", ...common };
    return { kind: "node", ...common, clusterId: id.clusterId, roles: [], suspended: true };
  }
}
