/** What a node's host shows: its configuration, its state folder, its ports, and whether control can be reached as the node. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { z } from "zod";
import { rootsOf } from "../../certs/bundle.ts";
import type { Expectation } from "../../certs/judge.ts";
import { leafOfKind } from "../../certs/material.ts";
import { readSecretFile } from "../../certs/secret-file.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { TrustBundleSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { ConfigError } from "../../lib/config-error.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { loadNodeConfig } from "../../node/config.ts";
import { enumName } from "../output.ts";
import { type Looked, lookAtSnapshot } from "../snapshot-look.ts";
import { type Callee, callAll, lookAtName } from "./dial.ts";
import { type Facts, noFacts, type RoleFact, together } from "./facts.ts";
import { lookAtDisk, lookAtSecret } from "./files.ts";
import { lookAtPort } from "./ports.ts";

type NodeConfig = ReturnType<typeof loadNodeConfig>;

/** What of an identity at rest (node/identity-store.ts) matters here. */
const storedIdentity = z.object({
  trustDomain: z.string(),
  clusterId: z.string(),
  name: z.string(),
  controlName: z.string(),
  leaf: z.object({ certificate: z.base64(), keyPem: z.string() }),
  bundle: z.base64(),
});
type StoredIdentity = z.output<typeof storedIdentity>;

export interface NodePlace {
  /** Absent: variables alone. */
  readonly file?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Never throws: what cannot be had is a fact of its own, or none. */
export async function lookAtNodeHost({ file, env }: NodePlace, clock: Clock): Promise<Facts> {
  const at = file ?? "WEFT_NODE_*";
  const places = [{ kind: "node", at }] as const;
  let config: NodeConfig;
  try {
    const { loadNodeConfig } = await import("../../node/config.ts");
    config = loadNodeConfig({ env, flags: {}, ...(file === undefined ? {} : { file }) });
  } catch (thrown) {
    const problems = thrown instanceof ConfigError ? thrown.problems : [messageOf(thrown)];
    return { ...noFacts, places, configurations: [{ file: at, problems }] };
  }
  const [ports, identity] = [await portsOf(config), identityOf(config)];
  const stored = "stored" in identity ? identity.stored : undefined;
  const usedBy = `control in ${at}`;
  const reached =
    stored === undefined
      ? { names: await Promise.all(config.control.map(({ host }) => lookAtName(host, usedBy))) }
      : await callAll(calleesOf(config, stored, usedBy, clock), clock);
  const disk = lookAtDisk("state folder of the node", config.stateDir);
  const problems = "problem" in identity ? [identity.problem] : [];
  return together([
    { places, ports, configurations: [{ file: at, problems }], secrets: secretsOf(config) },
    { ...reached, disks: disk === undefined ? [] : [disk] },
    stored === undefined ? {} : { certificates: [certificateOf(config, stored, clock)] },
    existsSync(join(config.stateDir, "snapshot.bin"))
      ? snapshotFacts(config, at, stored?.name ?? "the node", clock)
      : {},
  ]);
}

async function portsOf(config: NodeConfig): Promise<Facts["ports"]> {
  const { publicHost, publicPort, operatorHost, operatorPort, dialOutOnly } = config;
  const wanted = [
    { what: "public port of the node", setting: "publicPort", host: publicHost, port: dialOutOnly ? 0 : publicPort },
    { what: "operator port of the node", setting: "operatorPort", host: operatorHost, port: operatorPort },
  ];
  // Port 0 is any free one.
  return await Promise.all(wanted.filter(({ port }) => port !== 0).map((each) => lookAtPort(each, "node")));
}

function secretsOf({ stateDir, join: joining }: NodeConfig): Facts["secrets"] {
  const identity = join(stateDir, "identity.json");
  const [hasIdentity, pending] = [existsSync(identity), join(stateDir, "renewal.key")];
  return [
    ...(hasIdentity ? [lookAtSecret("identity of the node", identity)] : []),
    ...(existsSync(pending) ? [lookAtSecret("key of a renewal", pending)] : []),
    // Used up, or still needed.
    ...(joining === undefined || (hasIdentity && !existsSync(joining.tokenFile))
      ? []
      : [lookAtSecret("join token", joining.tokenFile)]),
  ];
}

function identityOf({
  stateDir,
  join: joining,
}: NodeConfig): { readonly stored: StoredIdentity } | { readonly problem: string } | { readonly none: true } {
  const path = join(stateDir, "identity.json");
  if (!existsSync(path))
    return joining === undefined
      ? { problem: `${stateDir} holds no identity: this host has not joined (weft join)` }
      : { none: true };
  try {
    return { stored: storedIdentity.parse(JSON.parse(readSecretFile(path, limits.identityFileMaxBytes))) };
  } catch (thrown) {
    // Its mode and owner are told as such.
    if (thrown instanceof WeftError && thrown.detail === "KEY_FILE_UNSAFE") return { none: true };
    return { problem: `${path} is damaged: restore it from a backup, or join again in an empty state folder` };
  }
}

function leafOf(stored: StoredIdentity) {
  return leafOfKind("node", stored.leaf.keyPem, Buffer.from(stored.leaf.certificate, "base64"));
}

function calleesOf(config: NodeConfig, stored: StoredIdentity, usedBy: string, clock: Clock): Callee[] {
  const bundle = fromBinary(TrustBundleSchema, Buffer.from(stored.bundle, "base64"));
  const expect: Expectation<"control"> = {
    kind: "control",
    trustDomain: stored.trustDomain,
    clusterId: stored.clusterId,
    roots: rootsOf(bundle, "control"),
    nowMs: () => clock.nowMs(),
  };
  const tls = tlsOptions("dial-control", { identity: leafOf(stored), expect, serverName: stored.controlName });
  return config.control.map((address) => ({ address, usedBy, tls }));
}

function certificateOf({ stateDir }: NodeConfig, stored: StoredIdentity, clock: Clock): Facts["certificates"][number] {
  const { notBeforeMs, notAfterMs } = leafOf(stored);
  return {
    whose: stored.name,
    path: join(stateDir, "identity.json"),
    ...{ notBeforeMs, notAfterMs, nowMs: clock.nowMs() },
    fix: "start the agent and let it reach control: it recovers with the key it was enrolled with",
  };
}

/** The snapshot of the state folder, and the roles it gives against the ones this host allows. */
function snapshotFacts(config: NodeConfig, at: string, node: string, clock: Clock): Partial<Facts> {
  const path = join(config.stateDir, "snapshot.bin");
  let looked: Looked;
  try {
    looked = lookAtSnapshot(path, { stateDir: config.stateDir });
  } catch (thrown) {
    // A key file that may not be read was told already.
    if (thrown instanceof WeftError && thrown.detail === "KEY_FILE_UNSAFE") return {};
    return {
      snapshots: [{ node, path, ageMs: 0, restMs: 0, fault: { code: "SNAPSHOT_MALFORMED", why: messageOf(thrown) } }],
    };
  }
  const { snapshot, fault } = looked;
  const nowMs = clock.nowMs();
  const issuedMs = Number(snapshot?.issuedAtMs ?? nowMs);
  const fact = {
    ...{ node, path, ageMs: nowMs - issuedMs, restMs: Number(snapshot?.notAfterMs ?? nowMs) - nowMs },
    ...(fault === undefined ? {} : { fault }),
  };
  const given = [...new Set((snapshot?.self?.roles ?? []).map(({ role }) => enumName(NodeRole, role)))];
  const allowed: readonly string[] = config.ceiling.roles;
  const roles = given.map(
    (role): RoleFact => ({ node, role, state: allowed.includes(role) ? "fine" : "ceiling", because: at }),
  );
  const none: RoleFact[] = [{ node, role: "", state: "none", because: at }];
  return { snapshots: [fact], roles: snapshot === undefined || roles.length > 0 ? roles : none };
}
