/** The faults of the failover bench: how each is done to a relay or an entry, undone, and what must be stood up again afterwards. */

import { messageOf } from "../../lib/errors.ts";
import type { Gate } from "../../tests/harness/gate.ts";
import type { Standing } from "../load/standing.ts";
import type { Cutter } from "./cutter.ts";
import { type Statement, signStatement } from "./revocation.ts";

export const relayFaults = ["kill", "freeze", "blackhole", "oneway", "drain", "revoke"] as const;
export const entryFaults = ["entry", "entry-freeze"] as const;
export type FaultName = (typeof relayFaults)[number] | (typeof entryFaults)[number];

export interface World {
  readonly standing: Standing;
  readonly gate: Gate | undefined;
  readonly cutter: Cutter | undefined;
  /** Number of this run, from 0. */
  readonly run: number;
}

/** One fault, ready to be done to one node. */
export interface Fault {
  /** Does it; the clock starts when this is called. */
  inject(): Promise<void>;
  /** Ends what can be ended while bytes flow: a frozen process thaws, dropped packets pass again. */
  heal(): Promise<void>;
  /** Makes the relay, or another in its stead, take part again. Control runs. */
  restore(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

function kill({ standing }: World, relay: string): Fault {
  const { child } = standing.node(relay);
  return {
    inject: async () => void process.kill(child.pid, "SIGKILL"),
    heal: nothing,
    restore: async () => {
      await child.exited;
      await standing.startAgain(relay);
    },
  };
}

function freeze({ standing }: World, relay: string): Fault {
  const { pid } = standing.node(relay).child;
  return {
    inject: async () => void process.kill(pid, "SIGSTOP"),
    heal: async () => void process.kill(pid, "SIGCONT"),
    restore: nothing,
  };
}

function cut({ cutter, run }: World, relay: string, fault: "blackhole" | "oneway"): Fault {
  // One way is, in turn, what the relay sends and what it gets.
  const direction = fault === "blackhole" ? "both" : run % 2 === 0 ? "out" : "in";
  return {
    inject: async () => cutter?.cut(relay, direction),
    heal: async () => cutter?.heal(relay),
    restore: nothing,
  };
}

function drain({ standing }: World, relay: string): Fault {
  const { client } = standing.node(relay);
  return {
    inject: async () => void (await client.drain({})),
    heal: nothing,
    restore: async () => void (await client.undrain({})),
  };
}

async function revoke({ standing, gate, run }: World, relay: string): Promise<Fault> {
  gate?.close();
  const other = standing.nodes.find(({ name, child }) => child.role === "relay" && name !== relay)?.name ?? "";
  let statement: Statement | undefined;
  try {
    statement = await signStatement(standing, relay, other, "entry-2");
  } catch (thrown) {
    gate?.open();
    throw new Error(`the revocation was not signed: ${messageOf(thrown)}`, { cause: thrown });
  }
  return {
    inject: async () => await statement.handOver(),
    heal: async () => statement.close(),
    restore: async () => {
      gate?.open();
      await standing.remove(relay);
      await standing.addRelay(`relay-${run + 4}`);
    },
  };
}

/** Prepares a fault to be done to a node; what takes time beforehand (a signature) is done here. */
export async function prepareFault(fault: FaultName, world: World, node: string): Promise<Fault> {
  switch (fault) {
    case "kill":
    case "entry":
      return kill(world, node);
    case "freeze":
    case "entry-freeze":
      return freeze(world, node);
    case "blackhole":
    case "oneway":
      return cut(world, node, fault);
    case "drain":
      return drain(world, node);
    case "revoke":
      return await revoke(world, node);
  }
}
