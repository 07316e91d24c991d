/**
 * Network namespaces for relays, so that packets to and from exactly one process can be dropped: every relay gets an address
 * of its own on a bridge, everybody else shares the host's. Needs root, `ip` and `nft`; everything is gone after `remove`.
 */

import { execFileSync } from "node:child_process";
import { eventually } from "./eventually.ts";

export type CutDirection = "both" | "in" | "out";

function run(program: string, args: readonly string[], stdin?: string): void {
  execFileSync(program, args, { stdio: [stdin === undefined ? "ignore" : "pipe", "ignore", "pipe"], input: stdin });
}

function works(program: string, args: readonly string[]): boolean {
  try {
    run(program, args);
    return true;
  } catch {
    return false;
  }
}

/** Why namespaces cannot be used here, or undefined. */
export function namespacesUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  if (!works("ip", ["-V"])) return "no ip";
  if (!works("nft", ["list", "ruleset"])) return "no nft";
  return undefined;
}

export class Namespaces {
  readonly hostAddress: string;
  readonly #prefix: string;
  readonly #subnet: string;
  readonly #made = new Map<string, { readonly namespace: string; readonly address: string }>();

  constructor() {
    const id = process.pid % 65_536;
    this.#prefix = `wb${id.toString(36)}`;
    this.#subnet = `10.${64 + (id % 128)}.${Math.floor(id / 128) % 256}`;
    this.hostAddress = `${this.#subnet}.1`;
    run("ip", ["link", "add", this.#prefix, "type", "bridge"]);
    run("ip", ["addr", "add", `${this.hostAddress}/24`, "dev", this.#prefix]);
    run("ip", ["link", "set", this.#prefix, "up"]);
  }

  /** A namespace with an address of its own, under a name of the caller's: the same whenever it is asked for again. */
  add(name: string): { readonly address: string; readonly through: readonly string[] } {
    const made = this.#made.get(name) ?? this.#make(name);
    return { address: made.address, through: ["ip", "netns", "exec", made.namespace] };
  }

  #make(name: string): { readonly namespace: string; readonly address: string } {
    const number = this.#made.size + 2;
    const namespace = `${this.#prefix}-${number}`;
    const address = `${this.#subnet}.${number}`;
    const outside = `${this.#prefix}o${number}`;
    run("ip", ["netns", "add", namespace]);
    const made = { namespace, address };
    this.#made.set(name, made);
    run("ip", ["link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
    run("ip", ["link", "set", outside, "master", this.#prefix, "up"]);
    this.#inside(namespace, ["ip", "addr", "add", `${address}/24`, "dev", "eth0"]);
    this.#inside(namespace, ["ip", "link", "set", "eth0", "up"]);
    this.#inside(namespace, ["ip", "link", "set", "lo", "up"]);
    return made;
  }

  /** Drops every packet of the namespace in that direction, silently; with `peer`, of its connections to that port alone. */
  cut(name: string, direction: CutDirection, peer?: { readonly host: string; readonly port: number }): void {
    const drop = (hook: "input" | "output", key: "iifname" | "oifname"): string => {
      const [address, port] = hook === "input" ? ["saddr", "sport"] : ["daddr", "dport"];
      const only = peer === undefined ? "" : `ip ${address} ${peer.host} tcp ${port} ${peer.port}`;
      return `chain ${hook} { type filter hook ${hook} priority 0; policy accept; ${key} != "lo" ${only} drop; }`;
    };
    const chains = [
      ...(direction === "out" ? [] : [drop("input", "iifname")]),
      ...(direction === "in" ? [] : [drop("output", "oifname")]),
    ];
    const { namespace } = this.#named(name);
    this.#inside(namespace, ["nft", "-f", "-"], `table inet weft_bench {\n${chains.join("\n")}\n}\n`);
  }

  /** Lets packets pass again. */
  heal(name: string): void {
    this.#inside(this.#named(name).namespace, ["nft", "delete", "table", "inet", "weft_bench"]);
  }

  /** Takes away what can be taken now: a process that is just ending holds its namespace for a moment. For an exit. */
  removeNow(): void {
    for (const [name, { namespace }] of this.#made) {
      if (works("ip", ["netns", "del", namespace])) this.#made.delete(name);
    }
    works("ip", ["link", "del", this.#prefix]);
  }

  /** Resolves when nothing is left; rejects when somebody goes on holding a namespace. */
  async remove(): Promise<void> {
    const gone = (): boolean => {
      this.removeNow();
      return this.#made.size === 0;
    };
    await eventually(gone, { what: "the network namespaces to go", everyMs: 100 });
  }

  #named(name: string): { readonly namespace: string } {
    const made = this.#made.get(name);
    if (made === undefined) throw new Error(`no namespace for ${name}`);
    return made;
  }

  #inside(namespace: string, command: readonly string[], stdin?: string): void {
    run("ip", ["netns", "exec", namespace, ...command], stdin);
  }
}
