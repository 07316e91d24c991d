/** Whether a port can be bound here, and who holds it when not. Linux says who; elsewhere the holder stays unknown. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { errnoOf } from "../../lib/errors.ts";
import type { PortFact } from "./facts.ts";

interface Holder {
  readonly pid: string;
  readonly words: readonly string[];
}

/** Binds and lets go at once; resolves with the error's code, or undefined when it can be bound. */
function bindError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(errnoOf(error) ?? "EADDRINUSE"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Inodes of the sockets that listen on a port. */
export function listeningInodes(table: string, port: number): string[] {
  const listening = "0A";
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const isPort = Number.parseInt(local.split(":")[1] ?? "", 16) === port;
    return isPort && state === listening && inode !== undefined ? [inode] : [];
  });
}

function holdsAny(pid: string, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

function holderOf(port: number): Holder | undefined {
  const inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) => listeningInodes(textOf(table), port));
  if (inodes.length === 0) return undefined;
  const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const pid = readdirSync("/proc").find((name) => /^\d+$/.test(name) && holdsAny(name, sockets));
  if (pid === undefined) return undefined;
  return { pid, words: textOf(`/proc/${pid}/cmdline`).split("\0") };
}

/** Whether a command line is that of the process whose ports these are. */
export function isOwn(words: readonly string[], kind: "node" | "control"): boolean {
  const line = words.join(" ");
  return new RegExp(`\\b${kind}/bin\\.ts\\b|\\b(weft(\\.mjs)?|bin\\.ts) ${kind} run\\b`).test(line);
}

export interface PortToLook {
  readonly what: string;
  readonly setting: string;
  readonly host: string;
  readonly port: number;
}

/** Looks at a port of a node or a control: by binding it, and when it is taken by asking the system who has it. */
export async function lookAtPort(wanted: PortToLook, kind: "node" | "control"): Promise<PortFact> {
  const code = await bindError(wanted.host, wanted.port);
  if (code === undefined) return { ...wanted, state: "free" };
  if (code === "EACCES") return { ...wanted, state: "forbidden" };
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return { ...wanted, state: "no-address" };
  const holder = holderOf(wanted.port);
  if (holder === undefined) return { ...wanted, state: "unseen" };
  const [program = "", ...rest] = holder.words;
  const script = rest.find((word) => /\.[cm]?[jt]s$/.test(word));
  const name = [program, script].flatMap((path) => path?.split("/").at(-1) ?? []).join(" ");
  return {
    ...wanted,
    state: isOwn(holder.words, kind) ? "weft" : "taken",
    holder: `process ${holder.pid} (${name})`,
  };
}
