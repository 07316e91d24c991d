/**
 * Control, put together: store, authority, services, doors, jobs. Composition only; the process around it is bin.ts, tests
 * start it in their own.
 */

import { Closers } from "../lib/closers.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { randomLabel } from "../lib/random.ts";
import type { Tracer } from "../lib/tracer.ts";
import packageFacts from "../package.json" with { type: "json" };
import { anonymousCaller, type Judge } from "../rpc/caller.ts";
import { HealthState } from "../rpc/health.ts";
import type { CallObserver } from "../rpc/interceptors.ts";
import type { Surface } from "../rpc/surface.ts";
import type { ControlConfig } from "./config.ts";
import { Allowlist } from "./domain/allowlist.ts";
import { Authority } from "./domain/authority.ts";
import { createTrustAlarm } from "./domain/trust-alarm.ts";
import { CERTIFICATES_TOPIC } from "./hints/hints.ts";
import { hostPort } from "./init.ts";
import { startAuditWatch } from "./jobs/audit-watch.ts";
import { watchReplicaClock } from "./jobs/replica-clock.ts";
import { type ControlOverrides, openContext, openOutside, openSeal, openStore, openTraces } from "./open-context.ts";
import { ControlDoors } from "./rpc/doors.ts";
import { judgeCaller } from "./rpc/judge.ts";
import { startListener } from "./rpc/listener.ts";
import { refusalRecorder } from "./rpc/refusals.ts";
import { type ControlSurfaces, createControlSurfaces } from "./rpc/surfaces.ts";
import { createServices } from "./services.ts";
import type { StoreContext } from "./store/context.ts";
import { loadInstallation } from "./store/installation.ts";
import { migrate } from "./store/migrate.ts";
import { meetPrimary } from "./store/terms.ts";
import { tracedSql } from "./store/traced-sql.ts";
import { type Waiting, watchStore, whenStoreAnswers } from "./store-watch.ts";

export interface RunningControl extends AsyncDisposable {
  /** As bound. */
  readonly publicAddress: string;
  readonly operatorAddress: string;
  /** Empty when it shows no metrics. */
  readonly metricsAddress: string;
  readonly surfaces: ControlSurfaces;
  /** Takes no new connections, lets calls finish for `graceMs`, then ends them and closes everything. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a control replica; with `onWaiting`, waits for a store that is not there yet. Rejects with `failed_precondition`
 * (NOT_INITIALIZED, SEALING_KEY_WRONG, ...) when the store does not belong to this sealing key, with what opening the store
 * says, or with BIND_FAILED; whatever was opened is closed then.
 */
export async function startControl(
  config: ControlConfig,
  over: ControlOverrides = {},
  onWaiting?: (waiting: Waiting) => void,
): Promise<RunningControl> {
  await using undo = new Closers();
  const outside = openOutside(config, over);
  const sealingKey = openSeal(config);
  const replicaId = `cp-${randomLabel(outside.random, 16)}`;
  const tracing = await openTraces(config, outside, { version: packageFacts.version, replicaId });
  undo.add("traces", () => tracing?.close());
  const store = await openStore(config, over, outside.log, undo);
  const sql = tracing === undefined ? store : tracedSql(store, tracing.tracer);
  const opened = await openContext(config, over, { sql, outside, sealingKey }, undo);
  const alarm = createTrustAlarm(opened);
  undo.add("trust alarm", () => alarm.settled());
  const ctx = { ...opened, seal: alarm.guard(opened.seal) };
  const prepare = async () => {
    await migrate(sql);
    const installation = await loadInstallation(sql, ctx.seal);
    await sql.onPrimary(async (tx, primary) => void (await meetPrimary(tx, ctx, primary)));
    return installation;
  };
  const { trustDomain, mode } = await (onWaiting === undefined
    ? prepare()
    : whenStoreAnswers(outside, prepare, onWaiting));
  if (config.dev !== (mode === "dev")) {
    const message = `this installation was made in ${mode} mode; start control in the same`;
    throw new WeftError("failed_precondition", message, { detail: "MODE_MISMATCH" });
  }
  const auditWatch = startAuditWatch(ctx, alarm);
  undo.add("audit watch", () => auditWatch.stop());
  const health = new HealthState();
  // Loaded where it is asked for: a process without metrics does not pay for them.
  const metrics =
    config.metricsPort === undefined
      ? undefined
      : (await import("./metrics.ts")).controlMetrics(config, packageFacts.version);
  const seen = { health, onCall: metrics?.onCall, tracer: tracing?.tracer };
  const { doors, surfaces } = await openDoors(config, ctx, { trustDomain, replicaId }, seen, undo);
  const draining = { graceMs: 0 };
  undo.add("sessions", async () => {
    await Promise.all(Object.values(surfaces).map((surface: Surface) => surface.drain(draining.graceMs)));
  });
  const { publicPort, operatorPort } = await openPorts(config, outside, doors, undo);
  const shown = await metrics?.open(ctx, { surfaces, replicaId, traces: tracing?.counts });
  undo.add("metrics port", async () => await shown?.close());
  undo.add("health", () => health.setAll(false));
  const replicaClock = watchReplicaClock(ctx, replicaId);
  undo.add("replica clock", () => replicaClock.stop());
  const storeWatch = watchStore(ctx, health, () => replicaClock.isClose());
  undo.add("store watch", () => storeWatch.stop());

  const owned = undo.move();
  const close = async (graceMs: number = limits.drainGraceMs): Promise<void> => {
    draining.graceMs = graceMs;
    await owned.close();
  };
  return {
    publicAddress: hostPort(publicPort.host, publicPort.port),
    operatorAddress: hostPort(operatorPort.host, operatorPort.port),
    metricsAddress: shown?.address ?? "",
    surfaces,
    close,
    [Symbol.asyncDispose]: () => close(0),
  };
}

/** The two ports callers come by; the server name they ask for says through which door. */
async function openPorts(
  config: ControlConfig,
  outside: ReturnType<typeof openOutside>,
  doors: ControlDoors,
  undo: Closers,
) {
  const publicPort = await startListener({
    ...outside,
    name: "public",
    host: config.publicHost,
    port: config.publicPort,
    doorFor: (serverName) => doors.publicDoor(serverName),
  });
  undo.add("public port", () => publicPort.close());
  const operatorPort = await startListener({
    ...outside,
    name: "operator",
    host: config.operatorHost,
    port: config.operatorPort,
    doorFor: async () => doors.operatorDoor(),
  });
  undo.add("operator port", () => operatorPort.close());
  return { publicPort, operatorPort };
}

/** Who is told of calls. */
interface Seen {
  readonly health: HealthState;
  readonly onCall: CallObserver | undefined;
  readonly tracer: Tracer | undefined;
}

/** Services, the surfaces that route to them, and the doors that let callers in. Nothing listens yet. */
async function openDoors(
  config: ControlConfig,
  ctx: StoreContext,
  { trustDomain, replicaId }: { readonly trustDomain: string; readonly replicaId: string },
  { health, onCall, tracer }: Seen,
  undo: Closers,
): Promise<{ readonly doors: ControlDoors; readonly surfaces: ControlSurfaces }> {
  const authority = new Authority(ctx);
  const allowlist = new Allowlist(ctx);
  undo.add("allowlist", () => allowlist.close());
  const { services, stop } = createServices(ctx, authority, allowlist);
  undo.add("jobs", stop);
  const judges: { join: Judge; control: Judge; operator: Judge } = {
    join: async (socket, caller) => ({
      ...anonymousCaller(socket.remoteAddress ?? caller.sourceAddress, "join", caller.clusterId),
      ...((await allowlist.hold.holds()) ? { held: true } : {}),
    }),
    control(socket, caller) {
      const expect = doors.expectNode(caller.clusterId ?? "");
      if (expect === undefined) return { refused: "CLUSTER_UNKNOWN" };
      return judgeCaller(socket, { expect, arrivedBy: "control" }, allowlist, caller.sourceAddress);
    },
    operator: (socket, caller) => {
      const expected = { expect: doors.expectOperator(), arrivedBy: "operator-port" } as const;
      return judgeCaller(socket, expected, allowlist, caller.sourceAddress);
    },
  };
  const { log, clock, random } = ctx;
  const surfaces = createControlSurfaces(services, judges, {
    log,
    clock,
    random,
    ...{ health, onCall },
    onRefusal: refusalRecorder(ctx),
    ...(tracer === undefined ? {} : { tracing: { tracer, joinsOnly: false } }),
  });
  const publicHosts = config.advertisedHosts;
  const doors = new ControlDoors({ ctx, authority, allowlist, surfaces, trustDomain, replicaId, publicHosts });
  await doors.open();
  undo.add("doors", async () => {
    doors.close();
    // A store that is gone forgets by itself, after a while.
    await doors.forget().catch(() => {});
  });
  // A change of trust anywhere is looked at now, not at the next tick.
  const unsubscribe = ctx.hints.subscribe(CERTIFICATES_TOPIC, () => {
    for (const surface of Object.values(surfaces) as Surface[]) void surface.rejudge();
  });
  undo.add("certificate hints", unsubscribe);
  return { doors, surfaces };
}
