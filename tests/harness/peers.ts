/**
 * Outside programs that tests talk to. `scripts/peers.mjs` found or installed them and wrote where they are.
 *
 *   const redis = requirePeer("redis", "hints survive a lost Redis");
 *   describe.skipIf(redis.missing)("...", () => { ... redis.path ... });
 *
 * A missing peer is never silent: its tests are skipped and named at the end of the run, and under CI=true the file fails.
 */

import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const peerNames = [
  "redis",
  "postgres15",
  "grpcurl",
  "python",
  "go",
  "sshd",
  "prometheus",
  "ssh",
  "psql",
  "systemd",
  "compose",
] as const;
export type PeerName = (typeof peerNames)[number];

export interface Peer {
  readonly missing: boolean;
  /** The program; empty when missing. */
  readonly path: string;
}

const folder = fileURLToPath(new URL("../../node_modules/.cache/weft/", import.meta.url));
export const peersFile = `${folder}peers.json`;
/** One JSON line per suite that had to be skipped; printed and cleared by the global set-up. */
export const skippedFile = `${folder}skipped-for-peers.jsonl`;

export interface SkippedForPeer {
  readonly peer: string;
  readonly suite: string;
  readonly why: string;
}

/** Where the program is. `suite` names what is skipped without it. Throws under CI=true when it is missing. */
export function requirePeer(name: PeerName, suite: string): Peer {
  const found = lookedUp(name);
  if (typeof found !== "string") return found;
  if (process.env["CI"] === "true") throw new Error(`${suite}: needs ${name}, and a CI run may not skip: ${found}`);
  return missing({ peer: name, suite, why: found });
}

/** The same where `instead` says what is done without it: that is told at the end of the run too, and fails none. */
export function peerOr(name: PeerName, suite: string, instead: string): Peer {
  const found = lookedUp(name);
  return typeof found === "string" ? missing({ peer: name, suite, why: `${found}; ${instead}` }) : found;
}

/** The program, or why there is none. */
function lookedUp(name: PeerName): Peer | string {
  const all = JSON.parse(readFileSync(peersFile, "utf8")) as Record<string, { path?: string; missing?: string }>;
  const path = all[name]?.path;
  return path === undefined ? (all[name]?.missing ?? "nobody looked for it") : { missing: false, path };
}

function missing(line: SkippedForPeer): Peer {
  mkdirSync(folder, { recursive: true });
  appendFileSync(skippedFile, `${JSON.stringify(line)}\n`);
  return { missing: true, path: "" };
}
