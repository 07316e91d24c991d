/**
 * The local ceiling (LAW-C6): what this host allows whatever a signed snapshot says. Loopback, link-local and cloud
 * metadata addresses are refused unless a rule names a network inside those ranges: `0.0.0.0/0` does not open them.
 */

import { BlockList, isIP } from "node:net";
import { NodeRole, type RoleGrant } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Ceiling } from "./config.ts";

/** Networks that need a rule of their own. */
const guardedNetworks: readonly (readonly [network: string, prefix: number])[] = [
  ["127.0.0.0", 8],
  ["0.0.0.0", 8],
  ["169.254.0.0", 16],
  ["100.100.100.200", 32],
  ["::1", 128],
  ["::", 128],
  ["fe80::", 10],
  ["fd00:ec2::254", 128],
];

/** IPv6 prefixes that carry an IPv4 address behind them: compatible (RFC 4291), translated (RFC 7915), NAT64 (RFC 6052). */
const carriers = ["::", "::ffff:0:", "64:ff9b::"];
const carrierPrefix = 96;

/** Verdicts kept, at most. They follow from the configuration alone, so they never grow old. */
const verdictsMaxCount = 1_024;

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

interface Guard {
  readonly list: BlockList;
  readonly prefix: number;
}

function guardOf(network: string, prefix: number): Guard {
  const kind = family(network) ?? "ipv6";
  const list = new BlockList();
  list.addSubnet(network, prefix, kind);
  return { list, prefix };
}

/** Every guarded network, and the IPv6 networks a translator would turn into one. */
function guards(): Guard[] {
  return guardedNetworks.flatMap(([network, prefix]) => [
    guardOf(network, prefix),
    ...(family(network) === "ipv4"
      ? carriers.map((carrier) => guardOf(`${carrier}${network}`, carrierPrefix + prefix))
      : []),
  ]);
}

function family(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 4 ? "ipv4" : version === 6 ? "ipv6" : undefined;
}

/** An IPv4-mapped IPv6 address, however it is spelt, is judged as the IPv4 address it reaches. */
function unmapped(text: string): string {
  if (isIP(text) !== 6 || text.includes("%")) return text;
  // The URL parser gives every IPv6 address its one canonical spelling (RFC 5952).
  const address = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address);
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
  const guarded = guards();
  const rules = ceiling.targets.map((rule) => {
    const [network = "", prefixText = ""] = rule.cidr.split("/");
    const kind = family(network);
    if (kind === undefined) throw new Error(`ceiling.targets: "${rule.cidr}" does not start with an IP address`);
    const prefix = Number(prefixText);
    const list = new BlockList();
    list.addSubnet(network, prefix, kind);
    return { list, kind, prefix, from: rule.fromPort, to: rule.toPort };
  });

  /** Verdicts about what is dialled again and again: a look at every list costs more than the rest of an open's checks. */
  const verdicts = new Map<string, boolean>();

  const judge = (address: string, port: number): boolean => {
    const plain = unmapped(address);
    const kind = family(plain);
    if (kind === undefined || port < 1 || port > 65_535) return false;
    // Only a rule that lies within a guarded network opens it: half of all addresses is no word about loopback.
    const ownPrefix = Math.max(
      0,
      ...guarded.filter((guard) => guard.list.check(plain, kind)).map((guard) => guard.prefix),
    );
    // A rule speaks for its own family: `::/0` says nothing about IPv4, although every IPv4 address has an IPv6 spelling.
    return rules.some(
      (rule) =>
        rule.kind === kind &&
        rule.prefix >= ownPrefix &&
        port >= rule.from &&
        port <= rule.to &&
        rule.list.check(plain, kind),
    );
  };

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
      const key = `${address} ${port}`;
      let verdict = verdicts.get(key);
      if (verdict === undefined) {
        verdict = judge(address, port);
        if (verdicts.size >= verdictsMaxCount) verdicts.clear();
        verdicts.set(key, verdict);
      }
      return verdict;
    },
    allowsUnixPath: (path) => {
      // The kernel would walk `..`, and a NUL ends the path it sees: neither may pass a look at the text.
      if (!path.startsWith("/") || path.includes("\0") || path.split("/").includes("..")) return false;
      return ceiling.unixPrefixes.some(
        (prefix) => prefix !== "" && (path === prefix || path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`)),
      );
    },
    allowsListenerHost: (host) => ceiling.listenerHosts.includes(host),
  };
}
