/**
 * The ports this process itself listens on (LAW-C6): no egress leads back into its own node, whatever the ceiling lists. A
 * snapshot that names the node's own operator port as a target would otherwise come from loopback, or from a neighbour.
 */

import { isIP } from "node:net";
import { networkInterfaces } from "node:os";

export interface OwnPorts {
  /** Called with every port that was bound. */
  add(port: number): void;
  /** Whether an address and port are this process's own. Takes IP addresses. */
  isOwn(address: string, port: number): boolean;
}

/** Addresses of this host, by the kernel's word at the time of asking: they come and go. */
function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
}

function isLoopback(address: string): boolean {
  return /^(127\.|0\.)/.test(address) || address === "::1" || address === "::";
}

/** IPv6 in its one canonical spelling; an IPv4 address that is mapped, as what it reaches. */
function plain(address: string): string {
  if (isIP(address) !== 6 || address.includes("%")) return address.split("%")[0] ?? "";
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped === null) return canonical;
  const [high, low] = [Number.parseInt(mapped[1] ?? "", 16), Number.parseInt(mapped[2] ?? "", 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

export function createOwnPorts(): OwnPorts {
  const ports = new Set<number>();
  return {
    add: (port) => void ports.add(port),
    isOwn(address, port) {
      if (!ports.has(port)) return false;
      const reached = plain(address);
      return isLoopback(reached) || ownAddresses().some((each) => plain(each) === reached);
    },
  };
}
