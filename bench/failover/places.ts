/** What a fault needs to stand between processes: a gate in front of control, and a way to cut relays off. */

import type { NodePlace } from "../../cli/up/fabric.ts";
import type { NodePlan, Plan } from "../../cli/up/layout.ts";
import { Gate } from "../../tests/harness/gate.ts";
import { Namespaces, namespacesUnavailable } from "../../tests/harness/namespaces.ts";
import { say } from "../load/progress.ts";
import { type Cutter, RelayGates } from "./cutter.ts";
import type { FaultName } from "./faults.ts";

export interface Places {
  /** Once the fabric has started. */
  gate(): Gate | undefined;
  readonly cutter: Cutter | undefined;
  readonly placeOf: ((node: NodePlan, plan: Plan) => Promise<NodePlace>) | undefined;
}

function behindNamespaces(namespaces: Namespaces): Places {
  let gate: Promise<Gate> | undefined;
  let opened: Gate | undefined;
  return {
    gate: () => opened,
    cutter: namespaces,
    async placeOf(node, plan) {
      gate ??= Gate.listen(namespaces.hostAddress, plan.control.publicPort);
      opened = await gate;
      const control = `${opened.host}:${opened.port}`;
      if (node.role !== "relay") return { control, host: namespaces.hostAddress };
      const { address, through } = namespaces.add(node.name);
      return { control, host: address, through };
    },
  };
}

function behindGates(gates: RelayGates): Places {
  return {
    gate: () => undefined,
    cutter: gates,
    placeOf: async ({ name, role, publicPort }) =>
      role !== "relay" || publicPort === undefined ? {} : { advertised: await gates.add(name, publicPort) },
  };
}

function behindControlGate(): Places {
  let gate: Promise<Gate> | undefined;
  let opened: Gate | undefined;
  return {
    gate: () => opened,
    cutter: undefined,
    async placeOf(_node, plan) {
      gate ??= Gate.listen("127.0.0.1", plan.control.publicPort);
      opened = await gate;
      return { control: `${opened.host}:${opened.port}` };
    },
  };
}

/** Chooses the means and says which they are. */
export function placesFor(fault: FaultName): Places {
  if (fault === "revoke") return behindControlGate();
  if (fault !== "blackhole" && fault !== "oneway")
    return { gate: () => undefined, cutter: undefined, placeOf: undefined };
  const unavailable = namespacesUnavailable();
  if (unavailable === undefined) {
    say("packets are dropped by nftables in network namespaces of the relays");
    const namespaces = new Namespaces();
    process.on("exit", () => namespaces.removeNow());
    return behindNamespaces(namespaces);
  }
  say(`${unavailable}: bytes are held by a cutting TCP proxy in front of each relay instead of dropped packets`);
  return behindGates(new RelayGates());
}
