/**
 * Joining a cluster: from a join token to an identity.
 *
 * J1. The token's secret leaves this host only after the server proved, with the installation key whose hash is in the
 *     token, which roots speak for the cluster, and a connection verified by those roots stands.
 * J2. The private key is made here and stays here (LAW-I1); what is pending survives a restart of this process.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { z } from "zod";
import { rootsOf, verifyTrustBundle } from "../certs/bundle.ts";
import { makeCsr } from "../certs/csr.ts";
import { type JoinToken, parseJoinToken } from "../certs/join-token.ts";
import { generateP256Async, keyPairFromPem, privateKeyPem, signEs256 } from "../certs/keys.ts";
import { readSecretFile, writeSecretFile } from "../certs/secret-file.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { joinServerName } from "../fabric/server-names.ts";
import { EnrollmentService, type IssuedIdentity, RequestState } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import type { NodeCapability, NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny, removeFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import { rpcClient } from "../rpc/client.ts";
import { joinTransport } from "../rpc/join-transport.ts";
import { type StoredIdentity, saveIdentity } from "./identity-store.ts";
import { identityFrom } from "./leaf.ts";

export { defaultCapabilities } from "./capabilities.ts";

export interface JoinWish {
  readonly name: string;
  readonly roles: readonly NodeRole[];
  readonly organizationId?: string;
  readonly capabilities: readonly NodeCapability[];
  /** Where others may dial this node; none for a dial-out-only one. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly dialOutOnly: boolean;
  readonly region: string;
  readonly facts: Readonly<Record<string, string>>;
}

export interface JoinDeps {
  readonly stateDir: string;
  readonly control: readonly { readonly host: string; readonly port: number }[];
  readonly clock: Clock;
  /** Told once the request stands: an operator compares the fingerprint. */
  readonly onPending: (pending: { readonly requestId: string; readonly keyFingerprint: string }) => void;
}

const pendingSchema = z.object({
  keyPem: z.string(),
  requestId: z.string(),
  keyFingerprint: z.string(),
  bundle: z.base64(),
  signature: z.base64(),
  installationKey: z.base64(),
});
type Pending = z.output<typeof pendingSchema>;

/** How long one attempt to reach control may take before the next address is tried. */
const attemptMs = 5_000;
/** How often a control that says nothing is asked for the bundle before joining is given up. */
const firstContactAttempts = 4;

function pendingPath(stateDir: string): string {
  return join(stateDir, "pending.json");
}

function loadPending(stateDir: string): Pending | undefined {
  const path = pendingPath(stateDir);
  if (readFileIfAny(path) === undefined) return undefined;
  return pendingSchema.parse(JSON.parse(readSecretFile(path)));
}

/** Runs `call` against the first control address that answers; refusals are final, silence is not. */
async function withControl<T>(
  deps: JoinDeps,
  tls: () => Parameters<typeof joinTransport>[0]["tls"],
  call: (client: Client<typeof EnrollmentService>) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const { host, port } of deps.control) {
    const transport = joinTransport({
      address: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
      tls: tls(),
    });
    try {
      return await call(rpcClient(EnrollmentService, transport));
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || (thrown.reason !== "unavailable" && thrown.reason !== "deadline_exceeded"))
        throw thrown;
      last = thrown;
    } finally {
      transport.close();
    }
  }
  throw (
    last ?? new WeftError("invalid_argument", "no control address was given", { detail: "CONTROL_ADDRESS_MISSING" })
  );
}

/** Control is there and busy, or far away, or has ended a call that took long: asking the same again can help. */
function isSilence(thrown: unknown): boolean {
  return thrown instanceof WeftError && (thrown.reason === "deadline_exceeded" || thrown.reason === "canceled");
}

/** First contact: the only unverified call; its answer proves itself (J1). */
async function fetchBundle(
  deps: JoinDeps,
  token: JoinToken,
  attemptsLeft = firstContactAttempts,
): Promise<Pick<Pending, "bundle" | "signature" | "installationKey">> {
  const contact = withControl(
    deps,
    () => tlsOptions("first-contact", { serverName: joinServerName(token.clusterSlug) }),
    (client) => client.getTrustBundle({ clusterSlug: token.clusterSlug }, { timeoutMs: attemptMs }),
  );
  const answer = await contact.catch((thrown: unknown) => {
    if (attemptsLeft > 1 && isSilence(thrown)) return undefined;
    throw thrown;
  });
  if (answer === undefined) return await fetchBundle(deps, token, attemptsLeft - 1);
  const bundle = verifyTrustBundle(
    { bytes: answer.bundle, signature: answer.signature },
    answer.installationPublicKey,
    token.installationKeyHash,
  );
  if (bundle.clusterSlug !== token.clusterSlug) {
    throw new WeftError("unauthenticated", "control answered for another cluster", { detail: "BUNDLE_WRONG_CLUSTER" });
  }
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return {
    bundle: base64(answer.bundle),
    signature: base64(answer.signature),
    installationKey: base64(answer.installationPublicKey),
  };
}

function joinTls(bundle: TrustBundle, clock: Clock): Parameters<typeof joinTransport>[0]["tls"] {
  return tlsOptions("dial-join", {
    serverName: joinServerName(bundle.clusterSlug),
    expect: {
      kind: "control",
      trustDomain: bundle.trustDomain,
      clusterId: bundle.clusterId,
      roots: rootsOf(bundle, "control"),
      nowMs: () => clock.nowMs(),
    },
  });
}

async function submit(deps: JoinDeps, tokenText: string, token: JoinToken, wish: JoinWish): Promise<Pending> {
  mkdirSync(deps.stateDir, { recursive: true, mode: 0o700 });
  const trust = await fetchBundle(deps, token);
  const bundle = openPendingBundle(trust, token.installationKeyHash);
  const keys = await generateP256Async();
  const csr = makeCsr(keys);
  const answer = await withControl(
    deps,
    () => joinTls(bundle, deps.clock),
    (client) =>
      client.enroll(
        {
          token: tokenText.trim(),
          csr,
          nodeName: wish.name,
          capabilities: [...wish.capabilities],
          requestedRoles: wish.roles.map((role) => ({ role, organizationId: wish.organizationId ?? "" })),
          addresses: wish.addresses.map((address) => ({ ...address })),
          dialOutOnly: wish.dialOutOnly,
          region: wish.region,
          facts: { ...wish.facts },
        },
        { timeoutMs: limits.rpcDeadlineMaxMs },
      ),
  );
  const pending: Pending = {
    ...trust,
    keyPem: privateKeyPem(keys.privateKey),
    requestId: answer.requestId,
    keyFingerprint: answer.keyFingerprint,
  };
  writeSecretFile(pendingPath(deps.stateDir), JSON.stringify(pending));
  return pending;
}

function openPendingBundle(
  trust: Pick<Pending, "bundle" | "signature" | "installationKey">,
  pinnedKeyHash: string,
): TrustBundle {
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
  return verifyTrustBundle(
    { bytes: bytes(trust.bundle), signature: bytes(trust.signature) },
    bytes(trust.installationKey),
    pinnedKeyHash,
  );
}

/** Polls until an operator decides. */
async function awaitDecision(
  deps: JoinDeps,
  pending: Pending,
  bundle: TrustBundle,
  signal: AbortSignal,
): Promise<IssuedIdentity> {
  const keys = keyPairFromPem(pending.keyPem);
  while (!signal.aborted) {
    const issuedAtMs = deps.clock.nowMs();
    const statement = Buffer.from(`weft/poll/v1\0${pending.requestId}\0${issuedAtMs}`);
    let waitMs = 1_000;
    try {
      const answer = await withControl(
        deps,
        () => joinTls(bundle, deps.clock),
        (client) =>
          client.pollEnrollment(
            {
              requestId: pending.requestId,
              issuedAtMs: BigInt(issuedAtMs),
              signature: signEs256(keys.privateKey, statement),
            },
            { timeoutMs: attemptMs, signal },
          ),
      );
      if (answer.state === RequestState.APPROVED && answer.identity !== undefined) return answer.identity;
      if (answer.state === RequestState.REJECTED) {
        throw new WeftError("permission_denied", `the request was rejected: ${answer.reason || "no reason given"}`, {
          detail: "REQUEST_REJECTED",
        });
      }
      if (answer.state === RequestState.EXPIRED) {
        throw new WeftError(
          "failed_precondition",
          "the request expired before anybody decided; join again with a new token",
          { detail: "REQUEST_EXPIRED" },
        );
      }
      waitMs = Math.min(10_000, Math.max(100, Number(answer.pollAfterMs)));
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || (thrown.retry !== "later" && !isSilence(thrown))) throw thrown;
    }
    await sleep(deps.clock, waitMs, signal);
  }
  throw new WeftError("canceled", "stopped while the request was pending; the same command continues it", {
    detail: "JOIN_INTERRUPTED",
  });
}

/**
 * Joins with a token, or continues what an earlier call left pending in `stateDir`, and keeps the identity there.
 * @throws WeftError invalid_argument for a malformed token, unauthenticated when another installation answers,
 *   permission_denied when the token or the request is refused, canceled when `signal` aborts.
 */
export async function joinCluster(
  deps: JoinDeps,
  tokenText: string,
  wish: JoinWish,
  signal: AbortSignal,
): Promise<StoredIdentity> {
  const token = parseJoinToken(tokenText);
  if (token === undefined) {
    throw new WeftError("invalid_argument", "this is not a join token; it starts with weft1. and is one line", {
      detail: "TOKEN_MALFORMED",
    });
  }
  const pending = loadPending(deps.stateDir) ?? (await submit(deps, tokenText, token, wish));
  const bundle = openPendingBundle(pending, token.installationKeyHash);
  deps.onPending({ requestId: pending.requestId, keyFingerprint: pending.keyFingerprint });
  const issued = await awaitDecision(deps, pending, bundle, signal);
  const stored: StoredIdentity = {
    identity: identityFrom(issued, pending.keyPem, []),
    installationKeySpki: new Uint8Array(Buffer.from(pending.installationKey, "base64")),
  };
  saveIdentity(deps.stateDir, stored);
  removeFile(pendingPath(deps.stateDir));
  return stored;
}
