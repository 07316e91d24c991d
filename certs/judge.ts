/**
 * The one judge of peers. OpenSSL says whether a chain leads to a root; it accepts leaves without usages, with two
 * identities, of any path. Everything it does not say is decided here, the same way for a TLS socket and for a certificate
 * received in a message.
 *
 * J1. Total: a judgement is a value. Nothing here throws, whatever the bytes, the socket's state or the caller's hooks do.
 * J2. Refusal is the default: undefined, unbound, unauthorized, resumed are refusals.
 * J3. The issuer is the listed root whose key verifies the signature (depth 1), never the one a name points at.
 * J4. Dates are compared with the newest time known, so a clock set back revives nothing.
 */

import type { TLSSocket } from "node:tls";
import { limits } from "../lib/limits.ts";
import { type CertificateFacts, type CertificateFault, EXTENSION, readCertificate } from "./certificate.ts";
import { type RootsOf, soleIdentity, type TrustedRoot } from "./material.ts";
import { leafProfiles, type Usage } from "./profiles.ts";
import { clusterSegment, type SpiffeId, type SpiffeKind } from "./spiffe.ts";

/** A judged certificate. All hex is lower case. */
export interface Peer {
  readonly id: SpiffeId;
  /** The serial's magnitude, minimal big-endian. With `issuerKeyId`, the certificate's name. */
  readonly serialHex: string;
  /** SHA-256 of the issuer's SPKI. */
  readonly issuerKeyId: string;
  /** SHA-256 of the peer's SPKI. */
  readonly keyHash: string;
  /** The peer's public key, SPKI DER: what its statements outside TLS are verified by. */
  readonly spkiDer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export type Refusal =
  | CertificateFault
  | "PEER_UNAUTHORIZED"
  | "PEER_NO_CERTIFICATE"
  | "PEER_RESUMED"
  | "PEER_PROTOCOL"
  | "CERT_PROFILE"
  | "CERT_IDENTITY"
  | "CERT_ISSUER"
  | "CERT_NOT_YET_VALID"
  | "CERT_EXPIRED"
  | "PEER_WRONG_DOMAIN"
  | "PEER_WRONG_CLUSTER"
  | "PEER_WRONG_KIND"
  | "PEER_WRONG_ID"
  | "PEER_REVOKED"
  | "PEER_NOT_A_MEMBER"
  | "JUDGE_FAILED";

export type Verdict = ({ readonly ok: true } & Peer) | { readonly ok: false; readonly why: Refusal };

/** Who the peer must be. Properties may be getters: they are read at each judgement, so rotation and revocation act at once. */
export interface Expectation<K extends SpiffeKind = SpiffeKind> {
  readonly kind: K;
  readonly trustDomain: string;
  /** The cluster's id; for operators it is ignored in favour of `installation`. */
  readonly clusterId: string;
  readonly roots: RootsOf<K>;
  /** Exactly these ids, when the peer is known beforehand; any id of the kind otherwise. */
  readonly ids?: readonly string[];
  /** Wall time, milliseconds. */
  nowMs(): number;
  /** The newest signed time seen (snapshot, feed), milliseconds; a floor under `nowMs` (J4). */
  newestSignedMs?(): number;
  /** Whether the certificate, key or identity is revoked; at control, not on the allowlist. */
  revoked?(peer: Peer): boolean;
  /** Whether the identity is a member of what this process knows. */
  member?(id: SpiffeId): boolean;
}

const LEAF_BASIC_CONSTRAINTS = "3000";
const LEAF_KEY_USAGE = "03020780";
const USAGE_DER: Record<Usage, string> = {
  serverAuth: "06082b06010505070301",
  clientAuth: "06082b06010505070302",
};
const LEAF_EXTENSIONS: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** Facts by DER: a pure function of its key, so this cache holds no trust. Least recently used goes first. */
const factsByDer = new Map<string, CertificateFacts>();
/** Whether a root's key made a certificate's signature: pure as well, and tied to both objects' lives. */
const signatures = new WeakMap<CertificateFacts, WeakMap<TrustedRoot, boolean>>();
/** A TLS 1.3 peer cannot change its certificate. */
const derBySocket = new WeakMap<object, Uint8Array>();

/** Judges the peer of a TLS socket whose handshake has ended. Never throws (J1). */
export function judgePeer<K extends SpiffeKind>(socket: TLSSocket, expect: Expectation<K>): Verdict {
  try {
    // Reading a property of a closed http2 session's socket throws: a refusal like any other.
    if (socket.authorized !== true) return refuse("PEER_UNAUTHORIZED");
    if (socket.isSessionReused()) return refuse("PEER_RESUMED");
    if (socket.getProtocol() !== "TLSv1.3") return refuse("PEER_PROTOCOL");
    const der = derBySocket.get(socket) ?? socket.getPeerX509Certificate()?.raw;
    if (der === undefined) return refuse("PEER_NO_CERTIFICATE");
    derBySocket.set(socket, der);
    return judge(der, expect);
  } catch {
    return refuse("JUDGE_FAILED");
  }
}

/** Judges a certificate received outside TLS: same checks, the signature included (J3). Never throws (J1). */
export function judgeCertificate<K extends SpiffeKind>(der: Uint8Array, expect: Expectation<K>): Verdict {
  try {
    return judge(der, expect);
  } catch {
    return refuse("JUDGE_FAILED");
  }
}

function judge(der: Uint8Array, expect: Expectation): Verdict {
  const facts = factsOf(der);
  if (typeof facts === "string") return refuse(facts);
  const id = soleIdentity(facts);
  if (id === undefined) return refuse("CERT_IDENTITY");
  if (id.kind !== expect.kind) return refuse("PEER_WRONG_KIND");
  if (!keepsProfile(facts, id.kind)) return refuse("CERT_PROFILE");
  const issuer = issuerOf(facts, expect.roots);
  if (issuer === undefined) return refuse("CERT_ISSUER");
  const nowMs = Math.max(expect.nowMs(), expect.newestSignedMs?.() ?? 0);
  const late = dateFault(facts, issuer, nowMs);
  if (late !== undefined) return refuse(late);
  if (id.trustDomain !== expect.trustDomain) return refuse("PEER_WRONG_DOMAIN");
  if (id.clusterId !== clusterSegment(expect.kind, expect.clusterId)) return refuse("PEER_WRONG_CLUSTER");
  if (expect.ids !== undefined && !expect.ids.includes(id.id)) return refuse("PEER_WRONG_ID");
  const { serialHex, keyHash, spkiDer, notBeforeMs, notAfterMs } = facts;
  const peer: Peer = { id, serialHex, issuerKeyId: issuer.keyId, keyHash, spkiDer, notBeforeMs, notAfterMs };
  if (expect.revoked?.(peer) === true) return refuse("PEER_REVOKED");
  if (expect.member !== undefined && expect.member(id) !== true) return refuse("PEER_NOT_A_MEMBER");
  return { ok: true, ...peer };
}

/** Exactly the extensions our issuer writes, with exactly the values the profile says. */
function keepsProfile(facts: CertificateFacts, kind: SpiffeKind): boolean {
  const { extensions } = facts;
  for (const oid of extensions.keys()) if (!LEAF_EXTENSIONS.has(oid)) return false;
  const constraints = extensions.get(EXTENSION.basicConstraints);
  const usage = extensions.get(EXTENSION.keyUsage);
  const purposes = leafProfiles[kind].usages.map((name) => USAGE_DER[name]).join("");
  const purposesDer = `30${(purposes.length / 2).toString(16).padStart(2, "0")}${purposes}`;
  return (
    constraints?.critical === true &&
    constraints.valueHex === LEAF_BASIC_CONSTRAINTS &&
    usage?.critical === true &&
    usage.valueHex === LEAF_KEY_USAGE &&
    extensions.get(EXTENSION.extendedKeyUsage)?.valueHex === purposesDer
  );
}

/** The one listed root whose key made the signature (J3). */
function issuerOf(facts: CertificateFacts, trust: RootsOf<SpiffeKind>): TrustedRoot | undefined {
  const issuers = trust.roots.filter((root) => signedBy(facts, root));
  return issuers.length === 1 ? issuers[0] : undefined;
}

function signedBy(facts: CertificateFacts, root: TrustedRoot): boolean {
  const known = signatures.get(facts) ?? new WeakMap<TrustedRoot, boolean>();
  signatures.set(facts, known);
  const before = known.get(root);
  if (before !== undefined) return before;
  const signed = facts.signedBy(root.publicKey);
  known.set(root, signed);
  return signed;
}

function dateFault(facts: CertificateFacts, issuer: TrustedRoot, nowMs: number): Refusal | undefined {
  if (!Number.isFinite(nowMs)) return "JUDGE_FAILED";
  if (nowMs < facts.notBeforeMs || nowMs < issuer.notBeforeMs) return "CERT_NOT_YET_VALID";
  if (nowMs >= facts.notAfterMs || nowMs >= issuer.notAfterMs) return "CERT_EXPIRED";
  // A leaf that outlives its issuer was not made by our issuer's rules.
  return facts.notAfterMs > issuer.notAfterMs ? "CERT_PROFILE" : undefined;
}

function factsOf(der: Uint8Array): CertificateFacts | CertificateFault {
  if (der.length > limits.certificateMaxBytes) return "CERT_SIZE";
  const key = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("latin1");
  const known = factsByDer.get(key);
  if (known !== undefined) {
    factsByDer.delete(key);
    factsByDer.set(key, known);
    return known;
  }
  const facts = readCertificate(der);
  if (typeof facts === "string") return facts;
  factsByDer.set(key, facts);
  if (factsByDer.size > limits.judgedCertificatesMaxCount) {
    for (const oldest of factsByDer.keys()) {
      factsByDer.delete(oldest);
      break;
    }
  }
  return facts;
}

function refuse(why: Refusal): Verdict {
  return { ok: false, why };
}
