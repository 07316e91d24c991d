/** Brings up a fabric of its own, attacks every port of it, and judges; nothing of it is left. */

import { type FabricOptions, startFabric } from "../../cli/up/fabric.ts";
import { onceEach as eachMoveOnce, watchFailovers } from "../../cli/up/failovers.ts";
import type { AttackClass } from "./attack-class.ts";
import { everywhere, type Sortie } from "./attack-plan.ts";
import { attackClasses } from "./classes.ts";
import { type Front, fabricFronts } from "./fabric-targets.ts";
import { type StrikeOptions, strike } from "./run-attack.ts";
import type { ClassVerdict } from "./verdict.ts";

export interface FabricAttack extends Omit<StrikeOptions, "failovers">, Pick<FabricOptions, "putStore"> {
  readonly classes?: readonly AttackClass[];
  readonly plan?: (fronts: readonly Front[], classes: readonly AttackClass[]) => Sortie[][];
  readonly onProgress?: (line: string) => void;
}

/** Moves that mean that an edge took a path for dead. */
const falseCauses = ["silent", "lost"];

/** Every verdict; processes are attacked beside each other, the ports of one after each other. Rejects when it does not stand. */
export async function attackFabric(attack: FabricAttack): Promise<ClassVerdict[]> {
  const { signal, onProgress = (): void => {}, plan = everywhere, putStore } = attack;
  const fabric = await startFabric({
    onProgress,
    logLevel: "warn",
    ...(signal === undefined ? {} : { signal }),
    ...(putStore === undefined ? {} : { putStore }),
  });
  const watching = new AbortController();
  let moves = 0;
  try {
    const heard = eachMoveOnce(({ cause, moves: count }) => {
      if (falseCauses.includes(cause)) moves += count;
    });
    void watchFailovers(fabric, heard, watching.signal);
    const sorties = plan(await fabricFronts(fabric), attack.classes ?? attackClasses);
    const verdicts = await Promise.all(
      sorties.map((ofFront) => strike(ofFront, { ...attack, failovers: () => moves })),
    );
    return verdicts.flat();
  } finally {
    watching.abort();
    await fabric.stop();
  }
}
