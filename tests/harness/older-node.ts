/**
 * A Node of the host that still takes an IP address as TLS server name, as stock clients that dial by IP need it. The pinned
 * one does not. It is a peer that cannot be installed: without it, what needs it is skipped and named at the end of the run.
 */

import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Peer, SkippedForPeer } from "./peers.ts";
import { skippedFile } from "./peers.ts";

/** From this major version on, `tls.connect` refuses an IP address as server name. */
const REFUSES_FROM_MAJOR = 26;

/** The first one on the PATH; `suite` names what is skipped without it. */
export function findOlderNode(suite: string): Peer {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const path = join(folder, "node");
    if (!existsSync(path)) continue;
    const said = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 }).stdout ?? "";
    const major = Number(/^v(\d+)\./.exec(said)?.[1]);
    if (major >= 18 && major < REFUSES_FROM_MAJOR) return { missing: false, path };
  }
  const line: SkippedForPeer = { peer: "an older Node", suite, why: "no Node before 26 is on the PATH" };
  mkdirSync(dirname(skippedFile), { recursive: true });
  appendFileSync(skippedFile, `${JSON.stringify(line)}\n`);
  return { missing: true, path: "" };
}
