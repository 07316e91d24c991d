/** Every port of a standing fabric as targets: as strangers meet them, and as those meet them who have an identity there. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256Async, privateKeyPem } from "../../certs/keys.ts";
import { certificatePem } from "../../certs/material.ts";
import { createSecretFile } from "../../certs/secret-file.ts";
import { hostPort } from "../../cli/arguments.ts";
import { writeClientFolder } from "../../cli/client-folder.ts";
import { findOrganization } from "../../cli/session.ts";
import type { Fabric } from "../../cli/up/fabric.ts";
import { pathInUse } from "../../cli/up/smoke.ts";
import { joinServerName } from "../../fabric/server-names.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { saveOperatorContext } from "../../rpc/operator-context.ts";
import { StolenNode } from "./stolen-node.ts";
import type { AttackTarget, Credentials, Endpoint, Healthy } from "./target.ts";

/** Targets of one process: they are attacked one after the other, those of different processes beside each other. */
export interface Front {
  readonly process: string;
  readonly targets: readonly AttackTarget[];
}

const stranger: Credentials = { kind: "stranger" };

function endpointOf(address: string, credentials: Credentials, serverName?: string): Endpoint {
  const named = serverName === undefined ? {} : { serverName };
  return { ...hostPort(address), credentials, ...named };
}

/** Identities of the attacker's own: healthy callers are held to limits apart from them. */
async function identities(fabric: Fabric, kind: "client" | "operator"): Promise<string[]> {
  return await fabric.withSession(async (session) => {
    const clusterId = await session.clusterId();
    const organizationId = kind === "client" ? (await findOrganization(session, "demo")).id : "";
    const add = async (nth: number): Promise<string> => {
      const keys = await generateP256Async();
      const added = await session.client(IdentityService).addIdentity({
        kind: kind === "client" ? IdentityKind.CLIENT : IdentityKind.OPERATOR,
        name: `attacker-${nth}`,
        csr: makeCsr(keys),
        clusterId,
        organizationId,
      });
      const dir = join(fabric.root, `attack-${kind}-${nth}`);
      const leaf = { keyPem: privateKeyPem(keys.privateKey), certificatePem: certificatePem(added.certificateDer) };
      if (kind === "operator") {
        saveOperatorContext(dir, session.context, leaf);
        return dir;
      }
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      createSecretFile(join(dir, "client.key"), leaf.keyPem);
      writeClientFolder(dir, added, { entries: [], names: {} }, session.context.installationKeyHash);
      return dir;
    };
    return await Promise.all(Array.from({ length: attackersCount }, (_, nth) => add(nth)));
  });
}

/** More than are turned away at a time, when classes take seconds. */
const attackersCount = 6;

/** The ports of control, of an entry, and of the relay its bytes go through. */
export async function fabricFronts(fabric: Fabric): Promise<Front[]> {
  const slug = await fabric.withSession(async ({ context }) => context.defaultCluster);
  const hops = await pathInUse(fabric, "entry-1");
  const relay = fabric.processes.find(({ name, role }) => role === "relay" && hops.includes(name));
  if (relay === undefined) throw new WeftError("unavailable", "no bytes go through a relay", { detail: "ATTACK_PATH" });
  const clients = (await identities(fabric, "client")).map((dir): Credentials => ({ kind: "client", dir }));
  const operatorDirs = await identities(fabric, "operator");
  const operators = (port: "control" | "node"): Credentials[] =>
    operatorDirs.map((dir) => ({ kind: "operator", dir, port }));
  const echo: Healthy = { kind: "echo", host: "127.0.0.1", port: fabric.listenerPort("echo-entry-1") };
  const asked = (name: string, port: "control" | "node"): Healthy => {
    const credentials: Credentials = { kind: "operator", dir: fabric.contextDir, port };
    return { kind: "rpc", endpoint: endpointOf(String(fabric.process(name).facts.operator), credentials) };
  };
  return [
    front(fabric, "control", asked("control", "control"), [
      ["public", [stranger], true, joinServerName(slug)],
      ["public", [stranger], false],
      ["operator", [stranger], false],
      ["operator", operators("control"), true],
    ]),
    front(fabric, "entry-1", echo, [
      ["public", [stranger], false],
      ["public", clients, true],
      ["operator", [stranger], false],
      ["operator", operators("node"), true],
    ]),
    withTarget(
      front(fabric, relay.name, asked(relay.name, "node"), [
        ["public", [stranger], false],
        ["operator", [stranger], false],
        ["operator", operators("node"), true],
      ]),
      linkTarget(fabric, relay.name, asked(relay.name, "node")),
    ),
  ];
}

const withTarget = ({ process, targets }: Front, more: AttackTarget): Front => ({
  process,
  targets: [...targets, more],
});

/** The node whose folder somebody has: another one than healthy bytes come by. */
const stolen = "entry-2";

/** The link door of a relay, met by a thief of an entry's identity. */
function linkTarget(fabric: Fabric, name: string, healthy: Healthy): AttackTarget {
  const node = new StolenNode(join(fabric.root, "nodes", stolen, "state"));
  const endpoint = node.endpoint(node.neighbour(name));
  return { name: `${name} link`, endpoint, healthy, pid: fabric.process(name).pid, speaksHttp2: true };
}

type Port = readonly [
  port: "public" | "operator",
  as: readonly Credentials[],
  speaksHttp2: boolean,
  serverName?: string,
];

function front(fabric: Fabric, name: string, healthy: Healthy, ports: readonly Port[]): Front {
  const { pid, facts } = fabric.process(name);
  const targets = ports.map(([port, as, speaksHttp2, serverName]) => ({
    name: `${name} ${port}${serverName === undefined ? "" : ` (${serverName.split(".")[0]})`}`,
    endpoint: endpointOf(String(facts[port]), as[0] ?? stranger, serverName),
    attackers: as,
    healthy,
    pid,
    speaksHttp2,
  }));
  return { process: name, targets };
}
