/**
 * An operator's context: one folder with everything the CLI needs to act as that operator. `control init` makes the first
 * one, `weft identity add` the others. Key and context file are 0600; the certificates are public.
 *
 *   operator.key      private key, PEM, 0600
 *   operator.crt      leaf, PEM
 *   servers.pem       roots that control's and nodes' operator ports are verified by (for grpcurl and other stock clients)
 *   context.json      operator address of control, trust domain, default cluster, roots by kind and cluster
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Expectation } from "../certs/judge.ts";
import { certificateDer, certificatePem, type LeafOf, leafOfKind, rootsOfKind } from "../certs/material.ts";
import { readSecretFile, writeSecretFile } from "../certs/secret-file.ts";
import { type ClientTlsOptions, tlsOptions } from "../certs/tls-options.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { base64Text, JsonMembers } from "../lib/json-members.ts";
import { limits } from "../lib/limits.ts";

/** One cluster the operator has to do with. Roots are certificates, DER, base64; there is one of each kind at least. */
export interface OperatorCluster {
  readonly id: string;
  readonly slug: string;
  readonly controlRoots: readonly string[];
  readonly nodeRoots: readonly string[];
  /** Of the trust bundle they came with; absent: of the one the context was made with. */
  readonly bundleVersion?: number | undefined;
}

interface ReplicaAddresses {
  readonly operatorAddress: string;
  readonly publicAddress: string;
}

export interface OperatorContextFile {
  /** host:port of control's operator port. */
  readonly operatorAddress: string;
  /** host:port of control's public port, for `weft join` and configuration of nodes. */
  readonly publicAddress: string;
  /** Further replicas of control, where one that does not answer may be asked instead. */
  readonly replicas?: readonly ReplicaAddresses[] | undefined;
  readonly trustDomain: string;
  /** SHA-256 of the installation key, hex. */
  readonly installationKeyHash: string;
  readonly defaultCluster: string;
  /** When newer roots were looked for last. */
  readonly rootsCheckedAtMs?: number | undefined;
  /** One at least. */
  readonly clusters: readonly OperatorCluster[];
}

export interface OperatorContext extends OperatorContextFile {
  readonly dir: string;
  readonly leaf: LeafOf<"operator">;
}

function serverRootsPem(clusters: readonly OperatorCluster[]): string {
  return clusters
    .flatMap((cluster) => [...cluster.controlRoots, ...cluster.nodeRoots])
    .map((root) => certificatePem(Buffer.from(root, "base64")))
    .join("");
}

/** Writes a context folder, replacing what the folder held. */
export function saveOperatorContext(
  dir: string,
  context: OperatorContextFile,
  leaf: { readonly keyPem: string; readonly certificatePem: string },
): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeSecretFile(join(dir, "operator.key"), leaf.keyPem);
  replaceFile(join(dir, "operator.crt"), leaf.certificatePem, 0o644);
  replaceFile(join(dir, "servers.pem"), serverRootsPem(context.clusters), 0o644);
  writeSecretFile(join(dir, "context.json"), `${JSON.stringify(context, null, 2)}\n`);
}

/** Replaces the clusters a context folder knows; key and certificate stay as they are. */
export function saveOperatorClusters(context: OperatorContext, clusters: readonly OperatorCluster[]): void {
  const { dir, leaf: _leaf, ...file } = context;
  replaceFile(join(dir, "servers.pem"), serverRootsPem(clusters), 0o644);
  writeSecretFile(join(dir, "context.json"), `${JSON.stringify({ ...file, clusters }, null, 2)}\n`);
}

/** Notes when newer roots were looked for. */
export function saveRootsChecked(context: OperatorContext, rootsCheckedAtMs: number): void {
  const { dir, leaf: _leaf, ...file } = context;
  writeSecretFile(join(dir, "context.json"), `${JSON.stringify({ ...file, rootsCheckedAtMs }, null, 2)}\n`);
}

/** Replaces the replicas a context folder knows besides the first one. */
export function saveOperatorReplicas(
  context: OperatorContext,
  replicas: readonly { readonly operatorAddress: string; readonly publicAddress: string }[],
): void {
  const { dir, leaf: _leaf, ...file } = context;
  writeSecretFile(join(dir, "context.json"), `${JSON.stringify({ ...file, replicas }, null, 2)}\n`);
}

function addressesOf(value: unknown): ReplicaAddresses {
  const members = new JsonMembers(value);
  return { operatorAddress: members.text("operatorAddress"), publicAddress: members.text("publicAddress") };
}

function clusterOf(value: unknown): OperatorCluster {
  const members = new JsonMembers(value);
  const bundleVersion = members.number("bundleVersion");
  return {
    id: members.text("id"),
    slug: members.text("slug"),
    controlRoots: members.some("controlRoots", base64Text),
    nodeRoots: members.some("nodeRoots", base64Text),
    ...(bundleVersion === undefined ? {} : { bundleVersion }),
  };
}

/** @throws SyntaxError or TypeError when it is not what such a file says. */
function parseOperatorContext(text: string): OperatorContextFile {
  const value: unknown = JSON.parse(text);
  const members = new JsonMembers(value);
  const [replicas, rootsCheckedAtMs] = [members.list("replicas", addressesOf), members.number("rootsCheckedAtMs")];
  return {
    ...addressesOf(value),
    ...(replicas === undefined ? {} : { replicas }),
    trustDomain: members.text("trustDomain"),
    installationKeyHash: members.text("installationKeyHash"),
    defaultCluster: members.text("defaultCluster"),
    ...(rootsCheckedAtMs === undefined ? {} : { rootsCheckedAtMs }),
    clusters: members.some("clusters", clusterOf),
  };
}

/**
 * Reads a context folder.
 * @throws WeftError failed_precondition (CONTEXT_MISSING, CONTEXT_DAMAGED) or what reading a secret file says.
 */
export function loadOperatorContext(dir: string): OperatorContext {
  const certificate = readFileIfAny(join(dir, "operator.crt"));
  if (certificate === undefined || readFileIfAny(join(dir, "context.json")) === undefined) {
    throw new WeftError(
      "failed_precondition",
      `${dir} holds no operator context; name one with --context DIR or WEFT_CONTEXT, or make one with "weft control init"`,
      {
        detail: "CONTEXT_MISSING",
      },
    );
  }
  const keyPem = readSecretFile(join(dir, "operator.key"));
  try {
    const context = parseOperatorContext(readSecretFile(join(dir, "context.json"), limits.identityFileMaxBytes));
    return { ...context, dir, leaf: leafOfKind("operator", keyPem, certificateDer(certificate.toString())) };
  } catch (cause) {
    throw new WeftError("failed_precondition", `the operator context in ${dir} is damaged`, {
      detail: "CONTEXT_DAMAGED",
      cause,
    });
  }
}

/** TLS options to reach control's operator port. */
export function controlPortTls(context: OperatorContext, nowMs: () => number): ClientTlsOptions {
  const cluster = context.clusters.find(({ slug }) => slug === context.defaultCluster) ?? context.clusters[0];
  if (cluster === undefined)
    throw new WeftError("failed_precondition", "the operator context names no cluster", { detail: "CONTEXT_DAMAGED" });
  const expect: Expectation<"control"> = {
    kind: "control",
    trustDomain: context.trustDomain,
    clusterId: cluster.id,
    roots: rootsOfKind(
      "control",
      cluster.controlRoots.map((root) => Buffer.from(root, "base64")),
    ),
    nowMs,
  };
  return tlsOptions("dial-operator-port", { identity: context.leaf, expect });
}

/** TLS options to reach the operator port of exactly one node. */
export function nodePortTls(
  context: OperatorContext,
  clusterId: string,
  nodeId: string,
  nowMs: () => number,
): ClientTlsOptions {
  const cluster = context.clusters.find(({ id }) => id === clusterId);
  if (cluster === undefined) {
    throw new WeftError(
      "failed_precondition",
      "the operator context holds no roots of that cluster, so its nodes cannot be verified with it",
      { detail: "CONTEXT_CLUSTER_UNKNOWN" },
    );
  }
  const expect: Expectation<"node"> = {
    kind: "node",
    trustDomain: context.trustDomain,
    clusterId,
    roots: rootsOfKind(
      "node",
      cluster.nodeRoots.map((root) => Buffer.from(root, "base64")),
    ),
    ids: [nodeId],
    nowMs,
  };
  return tlsOptions("dial-operator-port", { identity: context.leaf, expect });
}
