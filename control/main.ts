/**
 * Control, put together: store, authority, services, doors, jobs. Composition only; the process around it is bin.ts, tests
 * start it in their own.
 */

import { Closers } from "../lib/closers.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { randomLabel } from "../lib/random.ts";
import { anonymousCaller, type Judge } from "../rpc/caller.ts";
import { HealthState } from "../rpc/health.ts";
import type { ControlConfig } from "./config.ts";
import { Allowlist } from "./domain/allowlist.ts";
import { Authority } from "./domain/authority.ts";
import { CERTIFICATES_TOPIC } from "./hints/hints.ts";
import { hostPort } from "./init.ts";
import { type ControlOverrides, openContext, openOutside, openSeal, openStore } from "./open-context.ts";
import { ControlDoors } from "./rpc/doors.ts";
import { judgeCaller } from "./rpc/judge.ts";
import { startListener } from "./rpc/listener.ts";
import { refusalRecorder } from "./rpc/refusals.ts";
import { type ControlSurfaces, createControlSurfaces } from "./rpc/surfaces.ts";
import { createServices } from "./services.ts";
import { loadInstallation } from "./store/installation.ts";
import { migrate } from "./store/migrate.ts";

export interface RunningControl extends AsyncDisposable {
  /** As bound. */
  readonly publicAddress: string;
  readonly operatorAddress: string;
  readonly surfaces: ControlSurfaces;
  /** Takes no new connections, lets calls finish for `graceMs`, then ends them and closes everything. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a control replica. Rejects with `failed_precondition` (NOT_INITIALIZED, SEALING_KEY_WRONG, ...) when the store does not
 * belong to this sealing key, with what opening the store says, or with BIND_FAILED; whatever was opened is closed then.
 */
export async function startControl(config: ControlConfig, over: ControlOverrides = {}): Promise<RunningControl> {
  await using undo = new Closers();
  const outside = openOutside(config, over);
  const { clock, random, log } = outside;
  const sealingKey = openSeal(config);
  const sql = await openStore(config, over, log, undo);
  await migrate(sql);
  const ctx = openContext(config, over, { sql, outside, sealingKey }, undo);
  const installation = await loadInstallation(sql, ctx.seal);
  if (config.dev !== (installation.mode === "dev")) {
    const message = `this installation was made in ${installation.mode} mode; start control in the same`;
    throw new WeftError("failed_precondition", message, { detail: "MODE_MISMATCH" });
  }
  const authority = new Authority(ctx);
  const allowlist = new Allowlist(ctx);
  undo.add("allowlist", () => allowlist.close());
  const { services, stop } = createServices(ctx, authority, allowlist);
  undo.add("jobs", stop);

  const health = new HealthState();
  const onRefusal = refusalRecorder(ctx);
  const judges: { join: Judge; control: Judge; operator: Judge } = {
    join: (socket, caller) => anonymousCaller(socket.remoteAddress ?? caller.sourceAddress, "join", caller.clusterId),
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
  const surfaces = createControlSurfaces(services, judges, { log, clock, random, health, onRefusal });
  const doors = new ControlDoors({
    ctx,
    authority,
    allowlist,
    surfaces,
    trustDomain: installation.trustDomain,
    replicaId: `cp-${randomLabel(random, 16)}`,
    publicHosts: config.advertisedHosts,
  });
  await doors.open();
  undo.add("doors", () => doors.close());
  const everySurface = [surfaces.join, surfaces.control, surfaces.operator];
  // A change of trust anywhere is looked at now, not at the next tick.
  undo.add(
    "certificate hints",
    ctx.hints.subscribe(CERTIFICATES_TOPIC, () => {
      for (const surface of everySurface) void surface.rejudge();
    }),
  );

  let graceMs = 0;
  undo.add("sessions", async () => {
    await Promise.all(everySurface.map((surface) => surface.drain(graceMs)));
  });
  const shared = { clock, log };
  const publicPort = await startListener({
    ...shared,
    name: "public",
    host: config.publicHost,
    port: config.publicPort,
    doorFor: (serverName) => doors.publicDoor(serverName),
  });
  undo.add("public port", () => publicPort.close());
  const operatorPort = await startListener({
    ...shared,
    name: "operator",
    host: config.operatorHost,
    port: config.operatorPort,
    doorFor: async () => doors.operatorDoor(),
  });
  undo.add("operator port", () => operatorPort.close());
  undo.add("health", () => health.setAll(false));

  const owned = undo.move();
  const close = async (grace: number = limits.drainGraceMs): Promise<void> => {
    graceMs = grace;
    await owned.close();
  };
  return {
    publicAddress: hostPort(publicPort.host, publicPort.port),
    operatorAddress: hostPort(operatorPort.host, operatorPort.port),
    surfaces,
    close,
    [Symbol.asyncDispose]: () => close(0),
  };
}
