/** Cutting relays off: what the faults of the failover bench ask for, and how it is done by bytes where packets cannot be dropped. */

import { Gate } from "../../tests/harness/gate.ts";
import type { CutDirection } from "../../tests/harness/namespaces.ts";

/** Cuts relays off, by packets or by bytes. */
export interface Cutter {
  cut(relay: string, direction: CutDirection): void;
  heal(relay: string): void;
  remove(): void | Promise<void>;
}

/** Gates in front of relays, for who may not make network namespaces: cuts what others dialled to a relay, not what it dials. */
export class RelayGates implements Cutter {
  readonly #gates = new Map<string, Gate>();

  /** Where others are told to dial the relay. */
  async add(name: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    const gate = await Gate.listen("127.0.0.1", port);
    this.#gates.set(name, gate);
    return { host: gate.host, port: gate.port };
  }

  cut(name: string, direction: CutDirection): void {
    this.#gates.get(name)?.close(direction);
  }

  heal(name: string): void {
    this.#gates.get(name)?.open();
  }

  remove(): void {
    for (const gate of this.#gates.values()) gate.stop();
    this.#gates.clear();
  }
}
