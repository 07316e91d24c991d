/** Every port of a standing fabric as targets: as strangers meet them, and as those meet them who have an identity there. */

import { join } from "node:path";
import type { Fabric } from "../../cli/up/fabric.ts";
import { runChild } from "../../cli/up/processes.ts";
import { pathInUse } from "../../cli/up/smoke.ts";
import { joinServerName } from "../../fabric/server-names.ts";
import { WeftError } from "../../lib/errors.ts";
import type { AttackTarget, Credentials, Endpoint, Healthy } from "./target.ts";

/** Targets of one process: they are attacked one after the other, those of different processes beside each other. */
export interface Front {
  readonly process: string;
  readonly targets: readonly AttackTarget[];
}

const stranger: Credentials = { kind: "stranger" };

function endpointOf(address: string, credentials: Credentials, serverName?: string): Endpoint {
  const at = address.lastIndexOf(":");
  const named = serverName === undefined ? {} : { serverName };
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)), credentials, ...named };
}

/** Identities of the attacker's own, made as an operator makes them: healthy callers are held to limits apart from them. */
async function identityFolder(fabric: Fabric, kind: "client" | "operator"): Promise<string> {
  const dir = join(fabric.root, `attack-${kind}`);
  const belongs = kind === "client" ? ["--organization", "demo"] : [];
  await runChild(
    {
      name: `attack-${kind}`,
      role: kind,
      script: "cli/bin.ts",
      args: ["identity", "add", kind, "attacker", ...belongs, "--out", dir, "--context", fabric.contextDir, "--json"],
      logs: join(fabric.root, "logs"),
    },
    () => {},
  );
  return dir;
}

/** The ports of control, of an entry, and of the relay its bytes go through. */
export async function fabricFronts(fabric: Fabric): Promise<Front[]> {
  const slug = await fabric.withSession(async ({ context }) => context.defaultCluster);
  const hops = await pathInUse(fabric, "entry-1");
  const relay = fabric.processes.find(({ name, role }) => role === "relay" && hops.includes(name));
  if (relay === undefined) throw new WeftError("unavailable", "no bytes go through a relay", { detail: "ATTACK_PATH" });
  const client: Credentials = { kind: "client", dir: await identityFolder(fabric, "client") };
  const dir = await identityFolder(fabric, "operator");
  const echo: Healthy = { kind: "echo", host: "127.0.0.1", port: fabric.listenerPort("echo-entry-1") };
  const asked = (name: string, port: "control" | "node"): Healthy => {
    const credentials: Credentials = { kind: "operator", dir: fabric.contextDir, port };
    return { kind: "rpc", endpoint: endpointOf(String(fabric.process(name).facts.operator), credentials) };
  };
  return [
    front(fabric, "control", asked("control", "control"), [
      ["public", stranger, true, joinServerName(slug)],
      ["public", stranger, false],
      ["operator", stranger, false],
      ["operator", { kind: "operator", dir, port: "control" }, true],
    ]),
    front(fabric, "entry-1", echo, [
      ["public", stranger, false],
      ["public", client, true],
      ["operator", stranger, false],
      ["operator", { kind: "operator", dir, port: "node" }, true],
    ]),
    front(fabric, relay.name, asked(relay.name, "node"), [
      ["public", stranger, false],
      ["operator", stranger, false],
      ["operator", { kind: "operator", dir, port: "node" }, true],
    ]),
  ];
}

type Port = readonly [port: "public" | "operator", as: Credentials, speaksHttp2: boolean, serverName?: string];

function front(fabric: Fabric, name: string, healthy: Healthy, ports: readonly Port[]): Front {
  const { pid, facts } = fabric.process(name);
  const targets = ports.map(([port, as, speaksHttp2, serverName]) => ({
    name: `${name} ${port}${serverName === undefined ? "" : ` (${serverName.split(".")[0]})`}`,
    endpoint: endpointOf(String(facts[port]), as, serverName),
    healthy,
    pid,
    speaksHttp2,
  }));
  return { process: name, targets };
}
