/** Words of the command line as values: a typing error is told before anything is sent. */

import { InvalidArgumentError } from "commander";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A parser for an option that takes a whole number up to `max`: digits and nothing else. */
export function wholeNumber(max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > max) throw new InvalidArgumentError(`write a whole number, at most ${max}`);
    return value;
  };
}

/** `10m`, `90s`, `24h` or `1d` in milliseconds. */
export function durationMs(text: string): number {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const unit = units[match?.[2] ?? ""];
  if (match === null || unit === undefined) throw new InvalidArgumentError("write a number and a unit: 90s, 10m, 24h");
  return Number(match[1]) * unit;
}

/** `65536`, `512KiB`, `10MB` or `1GiB` in bytes; `/s` behind it is understood. */
export function byteCount(text: string): bigint {
  const match = /^(\d{1,15})\s*(B|kB|KB|KiB|MB|MiB|GB|GiB)?(?:\/s)?$/.exec(text.trim());
  const units: Readonly<Record<string, bigint>> = {
    B: 1n,
    kB: 1_000n,
    KB: 1_000n,
    KiB: 1_024n,
    MB: 1_000_000n,
    MiB: 1_048_576n,
    GB: 1_000_000_000n,
    GiB: 1_073_741_824n,
  };
  const unit = units[match?.[2] ?? "B"];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError("write a number of bytes: 65536, 512KiB, 10MB");
  }
  return BigInt(match[1] ?? "0") * unit;
}

/** `db.internal:5432` or `[::1]:22`. */
export function hostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) throw new InvalidArgumentError("write host:port");
  return { host: match[1] ?? match[2] ?? "", port };
}

/** host:port, repeated or comma-separated. */
export function hostPorts(text: string, before: readonly HostPort[] = []): HostPort[] {
  return [...before, ...text.split(",").map(hostPort)];
}

/** As `hostPort` reads it. */
export function hostPortText({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
