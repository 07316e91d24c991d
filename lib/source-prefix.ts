/** The network a stranger's address belongs to, as far as limits per source are concerned: /24 of IPv4, /64 of IPv6. */

import { isIPv4, isIPv6 } from "node:net";

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The prefix's text; addresses of one prefix give the same text, anything that is no address gives "unknown". */
export function sourcePrefix(address: string | undefined): string {
  if (address === undefined) return "unknown";
  const plain = MAPPED.exec(address)?.[1] ?? address;
  if (isIPv4(plain)) return `${plain.split(".").slice(0, 3).join(".")}.0/24`;
  const [bare = ""] = plain.split("%");
  return isIPv6(bare) ? `${firstGroups(bare, 4).join(":")}::/64` : "unknown";
}

/** The first `count` 16-bit groups of an IPv6 address, without leading zeros, `::` written out. */
function firstGroups(address: string, count: number): string[] {
  const [head = "", tail] = address.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  // A dotted quad at the end stands for two groups.
  const backGroups = back.length + (back.at(-1)?.includes(".") === true ? 1 : 0);
  const gap = tail === undefined ? 0 : Math.max(0, 8 - front.length - backGroups);
  const groups = [...front, ...Array.from({ length: gap }, () => "0"), ...back];
  return groups.slice(0, count).map((group) => Number.parseInt(group, 16).toString(16));
}
