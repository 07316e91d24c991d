/**
 * Where the nodes of the rotation bench run: relays so that the way of each to control can be cut while everything else
 * of it goes on, and one entry so that it can be told to acknowledge nothing.
 */

import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodePlace } from "../../cli/up/fabric.ts";
import type { NodePlan, Plan } from "../../cli/up/layout.ts";
import { Gate } from "../../tests/harness/gate.ts";
import { Namespaces, namespacesUnavailable } from "../../tests/harness/namespaces.ts";
import { say } from "../load/progress.ts";
import { refusingWhile } from "./refuse.ts";

export const refuserName = "entry-2";

/** The ways of relays to control. */
interface Ways {
  placeOf(relay: NodePlan, plan: Plan): Promise<NodePlace>;
  /** Of a node that is no relay. */
  readonly host: string | undefined;
  /** From now on no byte passes between that relay and control, either way, and nobody is told. */
  cut(relay: string): void;
  heal(relay: string): void;
  remove(): Promise<void>;
}

/** Packets of exactly the connections to control are dropped, in a network namespace of the relay's own. */
function byPackets(): Ways {
  const namespaces = new Namespaces();
  process.on("exit", () => namespaces.removeNow());
  let opened: Promise<Gate> | undefined;
  let gate: Gate | undefined;
  return {
    host: namespaces.hostAddress,
    async placeOf({ name }, plan) {
      opened ??= Gate.listen(namespaces.hostAddress, plan.control.publicPort);
      gate = await opened;
      const { address, through } = namespaces.add(name);
      return { host: address, through, control: `${gate.host}:${gate.port}` };
    },
    cut: (relay) => namespaces.cut(relay, "both", gate),
    heal: (relay) => namespaces.heal(relay),
    async remove() {
      gate?.stop();
      await namespaces.remove();
    },
  };
}

/** A TCP proxy between each relay and control holds every byte back. */
function byBytes(): Ways {
  const gates = new Map<string, Gate>();
  return {
    host: undefined,
    async placeOf({ name }, plan) {
      const gate = await Gate.listen("127.0.0.1", plan.control.publicPort);
      gates.set(name, gate);
      return { control: `${gate.host}:${gate.port}` };
    },
    cut: (relay) => gates.get(relay)?.close(),
    heal: (relay) => gates.get(relay)?.open(),
    async remove() {
      for (const gate of gates.values()) gate.stop();
    },
  };
}

export interface Places extends Pick<Ways, "cut" | "heal" | "remove"> {
  placeOf(node: NodePlan, plan: Plan): Promise<NodePlace>;
  /** Whether the refuser acknowledges nothing from now on. */
  refuse(isRefusing: boolean): void;
}

/** Chooses the means and says which they are. */
export function rotationPlaces(): Places {
  const unavailable = namespacesUnavailable();
  const ways = unavailable === undefined ? byPackets() : byBytes();
  say(
    unavailable === undefined
      ? "a relay is partitioned from control by nftables in a network namespace of its own"
      : `${unavailable}: a relay is partitioned from control by a TCP proxy that holds every byte back`,
  );
  const refusesWhile = join(tmpdir(), `weft-refuses-${process.pid}`);
  const accept = (): void => rmSync(refusesWhile, { force: true });
  process.on("exit", accept);
  return {
    async placeOf(node, plan) {
      if (node.role === "relay") return await ways.placeOf(node, plan);
      const place = ways.host === undefined ? {} : { host: ways.host };
      return node.name === refuserName ? { ...place, through: refusingWhile(refusesWhile) } : place;
    },
    refuse: (isRefusing) => (isRefusing ? writeFileSync(refusesWhile, "") : accept()),
    cut: (relay) => ways.cut(relay),
    heal: (relay) => ways.heal(relay),
    remove: () => ways.remove(),
  };
}
