/**
 * The local ceiling (LAW-C6): what this host allows whatever a signed snapshot says. Loopback, link-local and cloud
 * metadata addresses are refused unless a rule names a network inside those ranges: `0.0.0.0/0` does not open them.
 */

import { BlockList, isIP } from "node:net";
import { NodeRole, type RoleGrant } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Ceiling } from "./config.ts";

/** Networks that need a rule of their own. */
const guardedNetworks = [
  ["127.0.0.0", 8, "ipv4"],
  ["0.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["100.100.100.200", 32, "ipv4"],
  ["::1", 128, "ipv6"],
  ["::", 128, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["fd00:ec2::254", 128, "ipv6"],
] as const;

const ceilingRoleNames: ReadonlyMap<NodeRole, Ceiling["roles"][number]> = new Map([
  [NodeRole.ENTRY, "entry"],
  [NodeRole.RELAY, "relay"],
  [NodeRole.EGRESS, "egress"],
]);

export interface CeilingJudge {
  /** Whether this host will ever run the role. Roles the agent cannot run are refused. */
  allowsRole(role: NodeRole): boolean;
  /** The grants of a snapshot that the ceiling lets through, and those it does not. */
  splitRoles(grants: readonly RoleGrant[]): { allowed: RoleGrant[]; refused: RoleGrant[] };
  /** Whether this host will ever dial the resolved address. Takes IP addresses only: names are resolved before. */
  allowsTarget(address: string, port: number): boolean;
  allowsUnixPath(path: string): boolean;
  allowsListenerHost(host: string): boolean;
}

function family(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 4 ? "ipv4" : version === 6 ? "ipv6" : undefined;
}

/** An IPv4-mapped IPv6 address is judged as the IPv4 address it reaches. */
function unmapped(address: string): string {
  const dotted = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (dotted?.[1] !== undefined) return dotted[1];
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  if (hex?.[1] === undefined || hex[2] === undefined) return address;
  const high = Number.parseInt(hex[1], 16);
  const low = Number.parseInt(hex[2], 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/**
 * Makes the judge of a ceiling.
 * @throws Error when a CIDR does not parse (the configuration schema has looked at its form only).
 */
export function createCeilingJudge(ceiling: Ceiling): CeilingJudge {
  const guarded = new BlockList();
  for (const [network, prefix, kind] of guardedNetworks) guarded.addSubnet(network, prefix, kind);
  const rules = ceiling.targets.map((rule) => {
    const [network = "", prefixText = ""] = rule.cidr.split("/");
    const kind = family(network);
    if (kind === undefined) throw new Error(`ceiling.targets: "${rule.cidr}" does not start with an IP address`);
    const list = new BlockList();
    list.addSubnet(network, Number(prefixText), kind);
    return { list, opensGuarded: guarded.check(network, kind) && Number(prefixText) > 0, from: rule.fromPort, to: rule.toPort };
  });

  return {
    allowsRole: (role) => {
      const name = ceilingRoleNames.get(role);
      return name !== undefined && ceiling.roles.includes(name);
    },
    splitRoles(grants) {
      const allowed: RoleGrant[] = [];
      const refused: RoleGrant[] = [];
      for (const grant of grants) (this.allowsRole(grant.role) ? allowed : refused).push(grant);
      return { allowed, refused };
    },
    allowsTarget(address, port) {
      const plain = unmapped(address);
      const kind = family(plain);
      if (kind === undefined || port < 1 || port > 65_535) return false;
      const needsOwnRule = guarded.check(plain, kind);
      return rules.some(
        (rule) => port >= rule.from && port <= rule.to && (!needsOwnRule || rule.opensGuarded) && rule.list.check(plain, kind),
      );
    },
    allowsUnixPath: (path) => !path.includes("/../") && ceiling.unixPrefixes.some((prefix) => path.startsWith(prefix)),
    allowsListenerHost: (host) => ceiling.listenerHosts.includes(host),
  };
}
