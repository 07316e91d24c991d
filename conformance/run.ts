/**
 * A conformance run: starts what it needs, tries every promise, ends what it started, and says what it found. The same
 * checks on a desk, in CI and at a stranger's.
 */

import { messageOf } from "../lib/errors.ts";
import { type Check, type Outcome, runCheck } from "./check.ts";
import { routingChecks } from "./core/routing-checks.ts";
import { trustCoreChecks } from "./core/trust-core-checks.ts";
import { dataChecks } from "./fabric/data-checks.ts";
import { feedChecks } from "./fabric/feed-checks.ts";
import { outageChecks } from "./fabric/outage-checks.ts";
import { rotationChecks } from "./fabric/rotation-checks.ts";
import { stolenChecks } from "./fabric/stolen-checks.ts";
import { secretsOf, trustChecks } from "./fabric/trust-checks.ts";
import { openFabricWorld } from "./fabric/world.ts";
import { type Report, reportOf, type StoreVersions } from "./report.ts";
import { leaseChecks } from "./stores/lease-checks.ts";
import { raceChecks } from "./stores/race-checks.ts";
import { type RedisServer, type StoreServer, startRedis, startStores } from "./stores/servers.ts";
import { serverChecks, storeChecks } from "./stores/store-checks.ts";
import { openStoreWorld } from "./stores/world.ts";

export interface RunOptions {
  /** Only checks whose id or law contains this. */
  readonly only?: string;
  /** One line per step and check. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A whole run that is not over by then fails what is left. */
export const runMaxMs = 360_000;

class Run {
  readonly outcomes: Outcome[] = [];
  readonly #options: RunOptions;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  wanted<W>(checks: readonly Check<W>[]): readonly Check<W>[] {
    const { only } = this.#options;
    return checks.filter(
      ({ id, law }) => only === undefined || `${law} ${id}`.toLowerCase().includes(only.toLowerCase()),
    );
  }

  async try<W>(checks: readonly Check<W>[], world: W): Promise<void> {
    for (const check of this.wanted(checks)) {
      const startedMs = performance.now();
      const outcome = await runCheck(check, world, this.#options.signal);
      this.outcomes.push(outcome);
      const ms = Math.round(performance.now() - startedMs);
      this.#options.say(`${outcome.result}  ${outcome.law}  ${outcome.id}  ${outcome.figure} (${ms} ms)`);
    }
  }

  /** Checks whose world could not be made have failed, all of them. */
  fail<W>(checks: readonly Check<W>[], why: string): void {
    for (const { id, law, title } of this.wanted(checks)) {
      this.outcomes.push({ id, law, title, result: "fail", figure: why.slice(0, 300) });
    }
    this.#options.say(`fail  ${why}`);
  }

  /** Opens a world only when a check wants it, tries them on it, and closes it. */
  async in<W>(
    checks: readonly Check<W>[],
    open: () => Promise<W>,
    close: (world: W) => Promise<void> = async () => {},
  ): Promise<void> {
    if (this.wanted(checks).length === 0) return;
    let world: W;
    try {
      world = await open();
    } catch (thrown) {
      this.fail(checks, `its world could not be made: ${messageOf(thrown)}`);
      return;
    }
    try {
      await this.try(checks, world);
    } finally {
      await close(world);
    }
  }
}

async function onStores(run: Run, stores: readonly StoreServer[]): Promise<void> {
  for (const server of stores) {
    await run.try(serverChecks(server.name), server);
    const checks = [...leaseChecks(server.name), ...raceChecks(server.name), ...storeChecks(server.name)];
    await run.in(checks, () => openStoreWorld(server));
  }
}

const fabricChecks = [
  ...trustChecks,
  ...dataChecks,
  ...stolenChecks,
  ...feedChecks,
  ...rotationChecks,
  ...outageChecks,
];

/** No secret of the fabric may be in the report about it. */
function withoutSecrets(outcomes: readonly Outcome[], secrets: readonly string[]): Outcome {
  const text = JSON.stringify(outcomes);
  const found = secrets.some((secret) => secret.length >= 8 && text.includes(secret)) || /PRIVATE KEY/.test(text);
  return {
    id: "I2.report",
    law: "LAW-I2",
    title: "this report holds no secret",
    result: found ? "fail" : "pass",
    figure: found ? "a secret is in it" : `${text.length} characters searched for ${secrets.length} secrets`,
  };
}

/** Runs every check, or those that are asked for. Everything it started is gone when it resolves. */
export async function runConformance(options: RunOptions): Promise<Report> {
  const { say, signal } = options;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(runMaxMs)]);
  const run = new Run({ ...options, signal: deadline });
  const secrets: string[] = [];
  let stores: readonly StoreServer[] = [];
  let redis: RedisServer | undefined;
  try {
    await run.try([...routingChecks, ...trustCoreChecks], undefined);
    stores = await startStores(say);
    redis = await startRedis();
    await onStores(run, stores);
    const open = async () => {
      say("starting a fabric");
      const world = await openFabricWorld(redis, () => {}, deadline);
      secrets.push(...secretsOf(world));
      return world;
    };
    await run.in(fabricChecks, open, (world) => world.close());
  } finally {
    for (const server of stores) await server.close();
    await redis?.close();
  }
  if (secrets.length > 0) run.outcomes.push(withoutSecrets(run.outcomes, secrets));
  return reportOf(versionsOf(stores, redis), run.outcomes);
}

function versionsOf(stores: readonly StoreServer[], redis: RedisServer | undefined): StoreVersions {
  return {
    pglite: stores.find(({ name }) => name === "pglite")?.version ?? "",
    postgres: stores.filter(({ name }) => name !== "pglite").map(({ version }) => version),
    redis: redis?.version ?? "",
  };
}
