/**
 * What is attacked, and as whom. An endpoint is one port with the name to ask it by and the identity to show; everything in
 * it can be sent to a thread.
 *
 * TG1. Only this machine's loopback is a target unless somebody says in so many words that another one is theirs.
 */

import { isIP } from "node:net";
import { rootsOf } from "../../certs/bundle.ts";
import { rootsOfKind } from "../../certs/material.ts";
import { type ClientTlsOptions, tlsOptions } from "../../certs/tls-options.ts";
import { clientIdentity, expectEntry, readClientFolder } from "../../client/identity.ts";
import { clientServerName } from "../../fabric/server-names.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { loadIdentity } from "../../node/identity-store.ts";
import { controlPortTls, loadOperatorContext } from "../../rpc/operator-context.ts";

/** Who somebody is on the wire. `dir`: where key and certificate are. */
export type Credentials =
  | { readonly kind: "stranger" }
  | { readonly kind: "operator"; readonly dir: string; readonly port: "control" | "node" }
  | { readonly kind: "client"; readonly dir: string }
  | { readonly kind: "node"; readonly dir: string; readonly port: "control" | "link" };

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Asked for in the ClientHello; none when absent, where the identity brings none of its own. */
  readonly serverName?: string;
  readonly credentials: Credentials;
}

/** Who asks beside the attack, and must not notice it. */
export type Healthy =
  /** `grpc.health.v1.Health/Check` and HTTP/2 pings on one connection. */
  | { readonly kind: "rpc"; readonly endpoint: Endpoint }
  /** A byte there and back over one TCP connection, such as through a listener of an entry. */
  | { readonly kind: "echo"; readonly host: string; readonly port: number }
  /** A new connection each time: a ClientHello, and the time to whatever the port does about it. */
  | { readonly kind: "knock"; readonly endpoint: Endpoint };

export interface AttackTarget {
  /** For reports: "relay-1 public". */
  readonly name: string;
  readonly endpoint: Endpoint;
  /**
   * Identities of the endpoint's kind that attack in turns, when there are several: who has misbehaved in one class is turned
   * away in the next.
   */
  readonly attackers?: readonly Credentials[];
  readonly healthy: Healthy;
  /** Of the process behind the port, when it runs here. */
  readonly pid?: number;
  /** Whether HTTP/2 is spoken with whoever `endpoint.credentials` are: strangers mostly get no further than TLS. */
  readonly speaksHttp2: boolean;
}

const healthPath = "/grpc.health.v1.Health/Check";
const joinPath = "/weft.enrollment.v1.EnrollmentService/GetTrustBundle";
const probePath = "/weft.probe.v1.ProbeService/Probe";

/** An RPC that is served there to whoever the credentials are. */
export function servedPath({ credentials }: Endpoint): string {
  if (credentials.kind === "stranger") return joinPath;
  return credentials.kind === "node" && credentials.port === "link" ? probePath : healthPath;
}

/** Whether `host` can only be this machine. */
export function isLoopback(host: string): boolean {
  const bare = host.toLowerCase().replace(/^\[|\]$/g, "");
  if (bare === "localhost" || bare === "::1") return true;
  return isIP(bare) === 4 && bare.startsWith("127.");
}

/** TG1. Throws `permission_denied` (ATTACK_TARGET) for a target that is neither here nor said to be one's own. */
export function requireOwnTarget({ host }: { readonly host: string }, isOwn: boolean): void {
  if (isOwn || isLoopback(host)) return;
  throw new WeftError(
    "permission_denied",
    `${host} is not this machine: attacking it needs --i-own-this-target, and its owner's word that it may be attacked`,
    { detail: "ATTACK_TARGET" },
  );
}

/**
 * TLS options of somebody with the endpoint's credentials; a stranger verifies nobody, everybody else does.
 * @throws WeftError failed_precondition when the folder holds no identity.
 */
export function tlsOf({ credentials, serverName }: Endpoint): ClientTlsOptions {
  const nowMs = (): number => systemClock.nowMs();
  const named = serverName === undefined ? {} : { serverName };
  switch (credentials.kind) {
    case "stranger":
      return tlsOptions("first-contact", named);
    case "operator":
      return operatorTls(credentials, nowMs);
    case "client": {
      const identity = clientIdentity(readClientFolder(credentials.dir).pems);
      const slug = identity.clusterSlug;
      return tlsOptions("dial-entry", {
        identity: identity.leaf,
        expect: expectEntry(identity, nowMs),
        ...(slug === undefined ? {} : { serverName: clientServerName(slug) }),
        ...named,
      });
    }
    case "node":
      return nodeTls(credentials, named, nowMs);
  }
}

function operatorTls({ dir, port }: Extract<Credentials, { kind: "operator" }>, nowMs: () => number): ClientTlsOptions {
  const context = loadOperatorContext(dir);
  if (port === "control") return controlPortTls(context, nowMs);
  const cluster = context.clusters.find(({ slug }) => slug === context.defaultCluster) ?? context.clusters[0];
  const roots = (cluster?.nodeRoots ?? []).map((root) => Buffer.from(root, "base64"));
  const expect = {
    kind: "node" as const,
    trustDomain: context.trustDomain,
    clusterId: cluster?.id ?? "",
    roots: rootsOfKind("node", roots),
    nowMs,
  };
  return tlsOptions("dial-operator-port", { identity: context.leaf, expect });
}

function nodeTls(
  { dir, port }: Extract<Credentials, { kind: "node" }>,
  named: { readonly serverName?: string },
  nowMs: () => number,
): ClientTlsOptions {
  const stored = loadIdentity(dir);
  if (stored === undefined)
    throw new WeftError("failed_precondition", `${dir} holds no identity of a node`, { detail: "ATTACK_IDENTITY" });
  const { leaf, bundle, trustDomain, clusterId, controlName } = stored.identity;
  if (port === "link") {
    const expect = { kind: "node" as const, trustDomain, clusterId, roots: rootsOf(bundle, "node"), nowMs };
    return tlsOptions("dial-node-link", { identity: leaf, expect, ...named });
  }
  const expect = { kind: "control" as const, trustDomain, clusterId, roots: rootsOf(bundle, "control"), nowMs };
  return tlsOptions("dial-control", { identity: leaf, expect, serverName: controlName, ...named });
}
