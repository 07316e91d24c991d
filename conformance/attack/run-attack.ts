/**
 * Attacks one target with one class after the other and judges each: a healthy client beside it all the time, a quiet moment
 * before each class to compare with.
 */

import { type Clock, sleep, systemClock } from "../../lib/clock.ts";
import { type Random, randomInt, systemRandom } from "../../lib/random.ts";
import type { AttackClass } from "./attack-class.ts";
import type { Sortie } from "./attack-plan.ts";
import { Attacker } from "./attacker.ts";
import { HealthyClient, type Phase } from "./healthy.ts";
import { viewOf } from "./process-view.ts";
import type { AttackBounds } from "./range.ts";
import { type AttackTarget, isLoopback } from "./target.ts";
import { type ClassVerdict, judge, type Tolerances, tolerances } from "./verdict.ts";

export interface AttackOptions {
  readonly bounds: AttackBounds;
  /** How long it is left alone before each class. */
  readonly quietMs: number;
  readonly allowed?: Tolerances;
  /** Moves of trunks that nobody asked for, so far; null where nobody knows. */
  readonly failovers?: () => number;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** Quiet times that an attack is compared with: the newest, so that what changes on the machine changes in both. */
const quietKeptCount = 8;

/** One target under attack: its attacker and its healthy client, kept between classes. */
export class Siege {
  readonly #target: AttackTarget;
  readonly #options: AttackOptions;
  readonly #attacker = new Attacker();
  readonly #healthy: HealthyClient;
  readonly #clock: Clock;
  #quiet: Phase[] = [];
  #attacks = 0;

  private constructor(target: AttackTarget, options: AttackOptions, healthy: HealthyClient) {
    this.#target = target;
    this.#options = options;
    this.#healthy = healthy;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins with the healthy client. Rejects `unavailable` (ATTACK_UNHEALTHY) when it is not served. */
  static async begin(target: AttackTarget, options: AttackOptions): Promise<Siege> {
    const healthy = await HealthyClient.start({ healthy: target.healthy, door: target.endpoint });
    const siege = new Siege(target, options, healthy);
    await siege.#rest();
    return siege;
  }

  /** One class; stops early, and judges what there was, when the signal aborts. */
  async attack(attackClass: AttackClass, signal?: AbortSignal): Promise<ClassVerdict> {
    const { bounds, failovers, allowed = tolerances } = this.#options;
    const { endpoint, attackers, speaksHttp2, pid, name } = this.#target;
    await this.#rest();
    const before = viewOf(pid);
    const fromMs = this.#clock.monoMs();
    const movedBefore = failovers?.() ?? 0;
    const stop = (): void => this.#attacker.stop();
    signal?.addEventListener("abort", stop, { once: true });
    let sent: Promise<Phase> | undefined;
    const from = attackerAddress(endpoint.host, this.#options.random ?? systemRandom);
    const credentials = attackers?.[this.#attacks % attackers.length] ?? endpoint.credentials;
    this.#attacks += 1;
    const order = {
      classId: attackClass.id,
      endpoint: { ...endpoint, credentials },
      speaksHttp2,
      bounds,
      ...(from === undefined ? {} : { from }),
    };
    const done = this.#attacker.run(order, () => {
      sent = this.#healthy.phase();
    });
    // Not before: the thread would take the stop for that of an attack that is over.
    if (signal?.aborted === true) stop();
    const tally = await done;
    signal?.removeEventListener("abort", stop);
    const attack = await (sent ?? this.#healthy.phase());
    // What it takes to settle is neither attack nor quiet.
    await this.#healthy.phase();
    return judge(
      {
        class: attackClass,
        target: name,
        as: endpoint.credentials.kind,
        seconds: (attack.toMs - attack.fromMs) / 1_000,
        tally,
        quiet: this.#quiet,
        attack,
        before,
        after: viewOf(pid),
        watchedMs: this.#clock.monoMs() - fromMs,
        falseFailovers: failovers === undefined ? null : failovers() - movedBefore,
      },
      allowed,
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.#attacker.close(), this.#healthy.close()]);
  }

  async #rest(): Promise<void> {
    await this.#healthy.phase();
    await sleep(this.#clock, this.#options.quietMs);
    this.#quiet = [...this.#quiet, await this.#healthy.phase()].slice(-quietKeptCount);
  }
}

/**
 * An attacker is somebody else than the healthy client, and than the attacker before: on Linux every address of 127/8 is this
 * machine, and what is counted by source is counted by /24.
 */
function attackerAddress(host: string, random: Random): string | undefined {
  if (process.platform !== "linux" || !isLoopback(host) || host.includes(":")) return undefined;
  return `127.${64 + randomInt(random, 64)}.${randomInt(random, 256)}.1`;
}

export interface StrikeOptions extends AttackOptions {
  /** Stops the class that is tried, and leaves out the rest. */
  readonly signal?: AbortSignal;
  readonly onVerdict?: (verdict: ClassVerdict) => void;
}

/** Attacks one target after the other, each with its classes; every verdict there is by the end, or until it was stopped. */
export async function strike(sorties: readonly Sortie[], options: StrikeOptions): Promise<ClassVerdict[]> {
  const { signal, onVerdict } = options;
  const verdicts: ClassVerdict[] = [];
  const isStopped = (): boolean => signal?.aborted === true;
  for (const { target, classes } of sorties) {
    if (isStopped()) break;
    const siege = await Siege.begin(target, options);
    try {
      for (const attackClass of classes) {
        if (isStopped()) break;
        const verdict = await siege.attack(attackClass, signal);
        verdicts.push(verdict);
        onVerdict?.(verdict);
      }
    } finally {
      await siege.close();
    }
  }
  return verdicts;
}

/** Attacks `target` with one class and judges. Rejects `unavailable` when it does not serve its healthy client before. */
export async function runAttack(
  attackClass: AttackClass,
  target: AttackTarget,
  options: AttackOptions,
): Promise<ClassVerdict> {
  const siege = await Siege.begin(target, options);
  try {
    return await siege.attack(attackClass);
  } finally {
    await siege.close();
  }
}
