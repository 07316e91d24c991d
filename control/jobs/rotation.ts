/**
 * What control does by the clock for rotations: goes on when a phase is complete, says whom a stalled one waits for, and
 * says when an authority has spent half, three quarters and nine tenths of its life. Every replica runs it; who moves a
 * rotation is settled by comparing its phase.
 */

import { INSTALLATION } from "../../certs/spiffe.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { advanceRotation, alertPlace, type RotationDeps, stragglerText } from "../domain/rotation.ts";
import { viewRotation } from "../domain/rotation-gate.ts";
import { isPhase } from "../domain/rotation-phases.ts";
import { type Alert, type AlertKind, closeAlert, openAlert, syncAlerts } from "../store/alerts.ts";
import { allAuthorities } from "../store/authorities.ts";
import { listClusters } from "../store/clusters.ts";
import { openRotations, type RotationRow } from "../store/rotations.ts";
import { Rounds } from "./rounds.ts";

export interface RotationJob {
  /** Ends the timers and waits for what is under way. */
  stop(): Promise<void>;
}

/** After a look, so many times as long as it took nobody looks: a fifth of the time at most, however many nodes there are. */
const lookShare = 4;

/** Looks every `limits.rotationLookMs`; a failed look is logged and made again at its next time. */
export function startRotationJob(deps: RotationDeps): RotationJob {
  const { clock, log } = deps;
  const rounds = new Rounds({ clock, log: log.child({ sub: "rotation" }) }, "a look at rotations failed");
  let notBeforeMs = 0;
  const phases = async (): Promise<void> => {
    const startedMs = clock.monoMs();
    if (startedMs < notBeforeMs) return;
    try {
      await lookAtRotations(deps);
    } finally {
      notBeforeMs = clock.monoMs() + (clock.monoMs() - startedMs) * lookShare;
    }
  };
  rounds.every(limits.rotationLookMs, "phases", phases);
  rounds.every(limits.doorsRefreshMs, "ages of authorities", () => alertAges(deps));
  return { stop: () => rounds.stop() };
}

/** One look at every open rotation: goes on, or says whom it waits for. */
export async function lookAtRotations(deps: RotationDeps): Promise<void> {
  for (const row of await openRotations(deps.sql, deps.seal)) await lookAt(deps, row);
}

async function lookAt(deps: RotationDeps, row: RotationRow): Promise<void> {
  if (!isPhase(row.phase)) return;
  const view = await viewRotation(deps.sql, deps, row);
  const alert = { ...alertPlace(row), kind: "rotation-stalled", object: `rotation/${row.id}` } as const;
  if (view.stragglers.length > 0) {
    if (deps.clock.nowMs() - row.phaseSinceMs < limits.rotationStalledAfterMs) return;
    const who = stragglerText(view);
    const detail = `rotation of the ${row.kind} root stands in phase ${row.phase} and waits for ${who}; "weft ca status" shows all, "weft ca exempt" goes on without one, "weft ca rollback" turns back`;
    await openAlert(deps.sql, { ...alert, detail });
    return;
  }
  if (!view.isHeard) return;
  if (row.manual) return void (await closeAlert(deps.sql, alert));
  const clusterId = row.scope === INSTALLATION ? "" : row.scope;
  try {
    await advanceRotation(deps, { clusterId, kind: row.kind, phase: row.phase, actor: "system" });
  } catch (thrown) {
    // Another replica was first, or somebody became a straggler meanwhile.
    const detail = thrown instanceof WeftError ? thrown.detail : "";
    if (!["ROTATION_MOVED", "ROTATION_WAITING", "ROTATION_NOT_FOUND"].includes(detail)) throw thrown;
  }
}

const ages = [
  { share: 0.9, kind: "authority-ending" },
  { share: 0.75, kind: "authority-three-quarters" },
  { share: 0.5, kind: "authority-half" },
] as const satisfies readonly { readonly share: number; readonly kind: AlertKind }[];

/** Opens and closes the alerts about ages of authorities that sign, of every cluster and of the installation. */
export async function alertAges(deps: Pick<RotationDeps, "sql" | "seal" | "clock">): Promise<void> {
  const scopes = [INSTALLATION, ...(await listClusters(deps.sql)).map(({ id }) => id)];
  for (const scope of scopes) {
    const nowMs = deps.clock.nowMs();
    const wanted: Omit<Alert, "clusterId">[] = [];
    for (const row of await allAuthorities(deps.sql, deps.seal, scope)) {
      if (row.status !== "active") continue;
      const spent = (nowMs - row.notBeforeMs) / (row.notAfterMs - row.notBeforeMs);
      const age = ages.find(({ share }) => spent >= share);
      if (age === undefined) continue;
      const ends = new Date(row.notAfterMs).toISOString().slice(0, 10);
      const percent = Math.round(age.share * 100);
      const detail = `the ${row.kind} root has spent ${percent} % of its life and ends on ${ends}: "weft ca rotate --kind ${row.kind}" replaces it`;
      wanted.push({ kind: age.kind, object: `authority/${row.keyId.slice(0, 32)}`, detail });
    }
    const kinds = ages.map(({ kind }) => kind);
    await syncAlerts(deps.sql, scope === INSTALLATION ? "" : scope, kinds, wanted);
  }
}
