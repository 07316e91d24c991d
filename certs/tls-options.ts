/**
 * The only source of TLS options: for servers, for `setSecureContext` and for dialling. One table says, per kind of
 * connection, which certificate is shown and which single kind of peer is trusted.
 *
 * T1. TLS 1.3 only, and no resumption is ever accepted: a ticket would outlive expiry, revocation and the key itself.
 * T2. `setSecureContext` silently restores TLS 1.2 and tickets for every option it is not given again, so a rotation
 *     passes through `applyRotation`, which gives all of them.
 * T3. One kind of root per secure server or dial; several roots only while one generation replaces another.
 * T4. A dialler judges the server by identity, not by host name, inside `checkServerIdentity`: an exception there ends the
 *     process and `false` means accepted, so it returns an Error or undefined and nothing else.
 */

import { constants } from "node:crypto";
import type { ConnectionOptions, PeerCertificate, SecureContextOptions, TlsOptions } from "node:tls";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { type Expectation, judgeCertificate } from "./judge.ts";
import type { LeafOf, RootsOf } from "./material.ts";
import type { SpiffeKind } from "./spiffe.ts";

export interface TlsKindSpec {
  readonly side: "server" | "client";
  /** The certificate shown: one of these kinds, or none. */
  readonly shows: readonly SpiffeKind[];
  /** The kind of peer trusted: one of these kinds, or none (no certificate asked for, or not verified). */
  readonly trusts: readonly SpiffeKind[];
  /** Key exchange pinned to X25519MLKEM768: both ends are ours, and recordings must stay closed. */
  readonly postQuantumOnly: boolean;
}

export const tlsKinds = {
  "node-link": { side: "server", shows: ["node"], trusts: ["node"], postQuantumOnly: true },
  "path-end-node": { side: "server", shows: ["node"], trusts: ["node"], postQuantumOnly: true },
  "path-end-client": { side: "server", shows: ["pool"], trusts: ["client"], postQuantumOnly: true },
  "client-entry": { side: "server", shows: ["node"], trusts: ["client"], postQuantumOnly: false },
  operator: { side: "server", shows: ["node", "control"], trusts: ["operator"], postQuantumOnly: false },
  "control-node": { side: "server", shows: ["control"], trusts: ["node"], postQuantumOnly: false },
  join: { side: "server", shows: ["control"], trusts: [], postQuantumOnly: false },
  "dial-node-link": { side: "client", shows: ["node"], trusts: ["node"], postQuantumOnly: true },
  "dial-path-end-node": { side: "client", shows: ["node"], trusts: ["node"], postQuantumOnly: true },
  "dial-path-end-pool": { side: "client", shows: ["client"], trusts: ["pool"], postQuantumOnly: true },
  "dial-entry": { side: "client", shows: ["client"], trusts: ["node"], postQuantumOnly: false },
  "dial-control": { side: "client", shows: ["node"], trusts: ["control"], postQuantumOnly: false },
  "dial-join": { side: "client", shows: [], trusts: ["control"], postQuantumOnly: false },
  "dial-operator-port": { side: "client", shows: ["operator"], trusts: ["node", "control"], postQuantumOnly: false },
  // The one kind that does not verify: it fetches a trust bundle, which is then checked against the join token.
  "first-contact": { side: "client", shows: [], trusts: [], postQuantumOnly: false },
} as const satisfies Record<string, TlsKindSpec>;

export type TlsKind = keyof typeof tlsKinds;
type KindsOn<S extends "server" | "client"> = {
  [K in TlsKind]: (typeof tlsKinds)[K]["side"] extends S ? K : never;
}[TlsKind];
export type ServerKind = KindsOn<"server">;
export type ClientKind = KindsOn<"client">;

type Shown<K extends TlsKind> = (typeof tlsKinds)[K]["shows"][number];
type Trusted<K extends TlsKind> = (typeof tlsKinds)[K]["trusts"][number];
type OneLeaf<S extends SpiffeKind> = S extends SpiffeKind ? LeafOf<S> : never;
type OneRoots<S extends SpiffeKind> = S extends SpiffeKind ? RootsOf<S> : never;
type OneExpectation<S extends SpiffeKind> = S extends SpiffeKind ? Expectation<S> : never;

type ShowsPart<K extends TlsKind> = [Shown<K>] extends [never] ? unknown : { readonly identity: OneLeaf<Shown<K>> };

/** What a server of kind K needs: its leaf, and the roots of the one kind of peer it demands. */
export type ServerMaterial<K extends ServerKind> = ShowsPart<K> &
  ([Trusted<K>] extends [never] ? unknown : { readonly trust: OneRoots<Trusted<K>> });

/** What a dialler of kind K needs: its leaf, whom it expects (the expectation's roots are the trust), the name to send. */
export type ClientMaterial<K extends ClientKind> = ShowsPart<K> &
  ([Trusted<K>] extends [never] ? unknown : { readonly expect: OneExpectation<Trusted<K>> }) & {
    /** Server name to send; decides which server answers, never who it is. */
    readonly serverName?: string;
  };

export type ServerTlsOptions = SecureContextOptions & TlsOptions;
export type ClientTlsOptions = SecureContextOptions & ConnectionOptions;

/** Signatures our certificates and peers use; foreign RSA chains are not worth our event loop. */
const SIGNATURES = "ecdsa_secp256r1_sha256:ed25519";
const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const GROUPS_PINNED = "X25519MLKEM768";
const GROUPS_STOCK = "X25519MLKEM768:X25519:P-256";

/** Options of a TLS server of `kind`, complete: also what `setSecureContext` must be given (see `applyRotation`). */
export function tlsOptions<K extends ServerKind>(kind: K, material: ServerMaterial<K>): ServerTlsOptions;
/** Options of a dial of `kind`. */
export function tlsOptions<K extends ClientKind>(kind: K, material: ClientMaterial<K>): ClientTlsOptions;
export function tlsOptions(kind: TlsKind, material: LooseMaterial): ServerTlsOptions | ClientTlsOptions {
  const spec: TlsKindSpec = tlsKinds[kind];
  // The types say all of this; wiring code that lies to them must still not end up with the host's web roots.
  checkKind(spec.shows, material.identity?.kind, "identity");
  const trust = spec.side === "server" ? material.trust : material.expect?.roots;
  checkKind(spec.trusts, trust?.kind, "trust");
  const context = contextOptions(spec, material.identity, trust);
  return spec.side === "server"
    ? serverOptions(kind, context, trust !== undefined)
    : clientOptions(context, material.expect, material.serverName);
}

/** Replaces certificate, key and trust of a running server without restoring anything it was made without (T2). */
export function applyRotation<K extends ServerKind>(
  server: { setSecureContext(options: SecureContextOptions): void },
  kind: K,
  material: ServerMaterial<K>,
): void {
  server.setSecureContext(tlsOptions(kind, material));
}

interface LooseMaterial {
  readonly identity?: LeafOf<SpiffeKind>;
  readonly trust?: RootsOf<SpiffeKind>;
  readonly expect?: Expectation;
  readonly serverName?: string;
}

function checkKind(allowed: readonly SpiffeKind[], given: SpiffeKind | undefined, what: string): void {
  const fits = given === undefined ? allowed.length === 0 : allowed.includes(given);
  if (!fits) throw new WeftError("internal", `wrong TLS ${what}`, { detail: "TLS_MATERIAL" });
}

function contextOptions(
  spec: TlsKindSpec,
  identity: LeafOf<SpiffeKind> | undefined,
  trust: RootsOf<SpiffeKind> | undefined,
): SecureContextOptions {
  return {
    ...(identity === undefined ? {} : { key: identity.keyPem, cert: identity.certificatePem }),
    ...(trust === undefined ? {} : { ca: trust.roots.map((root) => root.pem) }),
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
    ciphers: CIPHERS,
    sigalgs: SIGNATURES,
    ecdhCurve: spec.postQuantumOnly ? GROUPS_PINNED : GROUPS_STOCK,
  };
}

function serverOptions(kind: TlsKind, context: SecureContextOptions, demandsPeer: boolean): ServerTlsOptions {
  return {
    ...context,
    // A session of one kind of server means nothing to another, and nothing after a second.
    sessionIdContext: `weft ${kind}`,
    sessionTimeout: 1,
    ALPNProtocols: ["h2"],
    requestCert: demandsPeer,
    rejectUnauthorized: true,
    handshakeTimeout: limits.handshakeDeadlineMs,
  };
}

function clientOptions(
  context: SecureContextOptions,
  expect: Expectation | undefined,
  serverName: string | undefined,
): ClientTlsOptions {
  return {
    ...context,
    ...(serverName === undefined ? {} : { servername: serverName }),
    ALPNProtocols: ["h2"],
    rejectUnauthorized: expect !== undefined,
    checkServerIdentity: (_host: string, certificate: PeerCertificate) =>
      expect === undefined ? undefined : serverFault(certificate, expect),
  };
}

/** Why the server is not the expected peer, or undefined (T4). Never throws. */
function serverFault(certificate: PeerCertificate, expect: Expectation): Error | undefined {
  try {
    const verdict = judgeCertificate(certificate.raw, expect);
    if (verdict.ok) return undefined;
    return new WeftError("unauthenticated", "the server is not the expected peer", { detail: verdict.why });
  } catch (cause) {
    return new WeftError("unauthenticated", "the server could not be judged", { detail: "JUDGE_FAILED", cause });
  }
}
