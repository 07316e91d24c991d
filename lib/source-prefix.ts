/** The network a stranger's address belongs to, as far as limits per source are concerned: /24 of IPv4, /64 of IPv6. */

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

function isIPv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) <= 255);
}

/** Form only: eight groups, or fewer around one `::`, the last two perhaps a dotted quad. */
function isIPv6(text: string): boolean {
  const [front = "", back, ...more] = text.split("::");
  const groups = [front, back ?? ""].flatMap((side) => (side === "" ? [] : side.split(":")));
  const quad = groups.at(-1)?.includes(".") === true ? groups.pop() : undefined;
  const count = groups.length + (quad === undefined ? 0 : 2);
  const formed = groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)) && (quad === undefined || isIPv4(quad));
  return formed && more.length === 0 && (back === undefined ? count === 8 : count < 8);
}

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
