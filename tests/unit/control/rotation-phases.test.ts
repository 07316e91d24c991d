/**
 * Rotations as a model: nodes that hear of bundles late, acknowledge, renew, stop and start, while an operator goes on,
 * turns back and exempts, in thousands of seeded orders. What must never be: two nodes that count where one shows a leaf
 * the other does not believe. A gate that forgets any of what it has to wait for is found out by the same walks.
 */

import { describe, expect, it } from "vitest";
import {
  type Holder,
  isPhase,
  phaseRules,
  type RootState,
  type RotationEnd,
  type RotationPhase,
  rotationPhases,
  type Straggler,
  stragglersOf,
} from "../../../control/domain/rotation-phases.ts";
import { seededRandom } from "../../../lib/random.ts";
import { runs } from "../../harness/counts.ts";

type Root = "old" | "next";
type Rule = typeof stragglersOf;

interface ModelNode {
  readonly id: string;
  believes: { version: number; roots: ReadonlySet<Root> };
  acknowledged: number;
  leaf: Root;
  runs: boolean;
  /** Takes bundles and never says so. */
  readonly silent: boolean;
}

const nodeCount = 7;

class Model {
  phase: RotationPhase | RotationEnd = "publish";
  roots: Record<Root, RootState> = { old: "active", next: "next" };
  version = 2;
  readonly exempt = new Set<string>();
  readonly nodes: ModelNode[];
  readonly seen: (RotationPhase | RotationEnd)[] = ["publish"];
  readonly #gate: Rule;

  constructor(gate: Rule, silentCount: number) {
    this.#gate = gate;
    this.nodes = Array.from({ length: nodeCount }, (_, at) => ({
      id: `n${at}`,
      believes: { version: 1, roots: new Set<Root>(["old"]) },
      acknowledged: 1,
      leaf: "old",
      runs: true,
      silent: at < silentCount,
    }));
  }

  trusted(): ReadonlySet<Root> {
    return new Set((["old", "next"] as const).filter((root) => this.roots[root] !== "dropped"));
  }

  active(): Root[] {
    return (["old", "next"] as const).filter((root) => this.roots[root] === "active");
  }

  hear(node: ModelNode): void {
    if (node.runs) node.believes = { version: this.version, roots: this.trusted() };
  }

  acknowledge(node: ModelNode): void {
    if (node.runs && !node.silent) node.acknowledged = node.believes.version;
  }

  renew(node: ModelNode): void {
    const [active] = this.active();
    if (node.runs && active !== undefined && !this.exempt.has(node.id)) node.leaf = active;
  }

  waitsFor(): readonly Straggler[] {
    if (!isPhase(this.phase)) return [];
    const holders = this.nodes.map(
      ({ id, acknowledged, leaf }): Holder => ({
        ...{ kind: "node", id, name: id, acknowledged, required: this.version, taintedInUse: [] },
        issuers: [leaf],
      }),
    );
    return this.#gate({ phase: this.phase, oldKeyId: "old", nextKeyId: "next", exempt: this.exempt }, holders);
  }

  goOn(): void {
    if (isPhase(this.phase) && this.waitsFor().length === 0) this.#enter(phaseRules[this.phase].onward);
  }

  turnBack(): void {
    const back = isPhase(this.phase) ? phaseRules[this.phase].back : undefined;
    if (back !== undefined) this.#enter(back);
  }

  #enter(to: RotationPhase | RotationEnd): void {
    this.phase = to;
    this.seen.push(to);
    if (!isPhase(to)) return;
    const { old, next } = phaseRules[to];
    this.roots = { old, next };
    this.version += 1;
  }

  /** Pairs of nodes that count where the one does not believe the other's leaf, or control does not. */
  broken(): string[] {
    const counting = this.nodes.filter(({ id }) => !this.exempt.has(id));
    const trusted = this.trusted();
    return counting.flatMap((one) => [
      ...(trusted.has(one.leaf) ? [] : [`control of ${one.id}`]),
      ...counting.filter((other) => !other.believes.roots.has(one.leaf)).map((other) => `${other.id} of ${one.id}`),
    ]);
  }
}

/** One random walk; what was broken on the way, if anything, and the model as it was left. */
function walk(
  seed: number,
  gate: Rule,
  silentCount = 0,
): { readonly model: Model; readonly broken: string | undefined } {
  const random = seededRandom(seed);
  const model = new Model(gate, silentCount);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random.float() * items.length)] as T;
  const steps: readonly (() => void)[] = [
    ...Array.from({ length: 6 }, () => () => model.hear(pick(model.nodes))),
    ...Array.from({ length: 6 }, () => () => model.acknowledge(pick(model.nodes))),
    ...Array.from({ length: 4 }, () => () => model.renew(pick(model.nodes))),
    ...Array.from({ length: 4 }, () => () => model.goOn()),
    () => {
      const node = pick(model.nodes);
      node.runs = !node.runs;
    },
    () => random.float() < 0.05 && model.turnBack(),
    () => random.float() < 0.05 && model.exempt.add(pick(model.nodes).id),
  ];
  for (let at = 0; at < 400 && isPhase(model.phase); at += 1) {
    pick(steps)();
    const [broken] = model.broken();
    if (broken !== undefined) return { model, broken: `${model.phase}: ${broken}` };
  }
  return { model, broken: undefined };
}

/** Everybody runs and answers again: where it ends. */
function settle(model: Model): void {
  for (let round = 0; round < 20 && isPhase(model.phase); round += 1) {
    for (const node of model.nodes) {
      node.runs = true;
      model.hear(node);
      model.acknowledge(node);
      model.renew(node);
    }
    model.goOn();
  }
}

describe("THR-C17 the phases of a rotation", () => {
  it("has exactly one root that signs in every phase, and it is trusted in the phases around it", () => {
    for (const phase of rotationPhases) {
      const { old, next, onward, back, tainted } = phaseRules[phase];
      const states = { old, next };
      expect(Object.values(states).filter((state) => state === "active")).toHaveLength(1);
      for (const to of [onward, back]) {
        if (to === undefined || !isPhase(to)) continue;
        const signs = phaseRules[to].old === "active" ? "old" : "next";
        expect(states[signs], `${phase} to ${to}`).not.toBe("dropped");
        // Dropped only from where it was tainted, or before it ever signed.
        for (const root of ["old", "next"] as const) {
          if (phaseRules[to][root] !== "dropped" || states[root] === "dropped") continue;
          expect(tainted === root || (phase === "publish" && root === "next"), `${phase} to ${to}`).toBe(true);
        }
      }
    }
  });

  it("can be left backwards from every phase of the way on, and comes to rest with the root before", () => {
    for (const at of ["publish", "sign", "taint", "drop"] as const) {
      const model = new Model(stragglersOf, 0);
      for (let round = 0; model.phase !== at && round < 50; round += 1) {
        for (const node of model.nodes) {
          model.hear(node);
          model.acknowledge(node);
          model.renew(node);
        }
        model.goOn();
      }
      expect(model.phase).toBe(at);
      model.turnBack();
      settle(model);
      expect(model.phase, at).toBe("rolled-back");
      expect(model.roots).toEqual({ old: "active", next: "dropped" });
      expect(model.nodes.map(({ leaf }) => leaf)).toEqual(model.nodes.map(() => "old"));
    }
  });

  it("never lets a node show a leaf that another one does not believe, whatever order things come in", () => {
    const ends = new Set<string>();
    const passed = new Set<string>();
    const walks = runs(1_500, 100_000);
    for (let seed = 1; seed <= walks; seed += 1) {
      const { model, broken } = walk(seed, stragglersOf);
      expect(broken, `seed ${seed}`).toBeUndefined();
      settle(model);
      expect(model.broken(), `seed ${seed}`).toEqual([]);
      expect(isPhase(model.phase), `seed ${seed} ends`).toBe(false);
      expect(model.active(), `seed ${seed}`).toEqual([model.phase === "done" ? "next" : "old"]);
      for (const phase of model.seen) passed.add(phase);
      ends.add(model.phase);
    }
    // The walks have been everywhere, or they prove little.
    expect([...ends].sort()).toEqual(["done", "rolled-back"]);
    expect([...passed].sort()).toEqual([...rotationPhases, "done", "rolled-back"].sort());
  });

  it("stays in its phase for as long as one node does not answer, and goes on once it is exempted", () => {
    const { model } = walk(1, stragglersOf, 1);
    for (let round = 0; round < 50; round += 1) {
      for (const node of model.nodes) {
        node.runs = true;
        model.hear(node);
        model.acknowledge(node);
        model.renew(node);
      }
      model.goOn();
    }
    expect(model.waitsFor()).toEqual([{ kind: "node", id: "n0", name: "n0", waitsFor: "acknowledgement" }]);
    model.exempt.add("n0");
    settle(model);
    expect(isPhase(model.phase)).toBe(false);
  });

  it("finds a gate that forgets something by the same walks", () => {
    const planted: Readonly<Record<string, Rule>> = {
      "no acknowledgements": (gate, holders) =>
        stragglersOf(gate, holders).filter(({ waitsFor }) => waitsFor !== "acknowledgement"),
      "no leaves": (gate, holders) => stragglersOf(gate, holders).filter(({ waitsFor }) => waitsFor !== "leaf"),
      "an acknowledgement of the bundle before": (gate, holders) =>
        stragglersOf(
          gate,
          holders.map((holder) => ({ ...holder, acknowledged: (holder.acknowledged ?? 0) + 1 })),
        ),
      "a node too few": (gate, holders) => stragglersOf(gate, holders.slice(1)),
    };
    for (const [what, gate] of Object.entries(planted)) {
      let found = 0;
      for (let seed = 1; seed <= 1_500 && found === 0; seed += 1)
        if (walk(seed, gate).broken !== undefined) found = seed;
      expect(found, what).toBeGreaterThan(0);
    }
  });
});
