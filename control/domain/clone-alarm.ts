/**
 * Tells when a certificate is used although another has taken its place: two hosts hold the key of one identity, or a disk
 * was rolled back. Which of the two is the rightful one cannot be seen from here: the older one, which does not act at control
 * (control/domain/allowlist.ts), enters the revocation feed, so that it acts nowhere, and the newer one goes on. The alarm names
 * both.
 *
 * CA1. Only a new connection under the older certificate counts: calls on one that was open when the other came are its
 *      holder's own, and are cut.
 * CA2. Nor does what comes within `limits.leafReuseGraceMs` of the change, or a sixth of the certificate's life: the rightful
 *      host may have been dialling.
 * CA4. Only what was used so enters the feed: every certificate that was ever replaced, of thousands of nodes, would fill it
 *      (docs/decisions/0023).
 * CA3. An alarm is recorded once per certificate and place it is used from, so that whoever knocks on writes no log.
 */

import { withinLife } from "../../certs/leaf-life.ts";
import { INSTALLATION } from "../../certs/spiffe.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { openAlert } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import { findCertificate, type LeafName } from "../store/certificates.ts";
import type { StoreContext } from "../store/context.ts";
import { findSuperseded, noteReuse, type Superseded } from "../store/leaf-reuse.ts";
import { addRevocations, addRevocationsEverywhere, isLeafRevoked } from "../store/revocations.ts";

export class CloneAlarm {
  readonly #ctx: StoreContext;
  /** Looked at lately, so that a host that knocks without end costs a statement now and then. */
  readonly #seen = new Map<string, number>();

  constructor(ctx: StoreContext) {
    this.#ctx = ctx;
  }

  /** A connection came under a superseded leaf, from `source`. Never throws and never waits. */
  reused(leaf: LeafName, source: string): void {
    const key = `${leaf.issuerKeyId}/${leaf.serial} ${source}`;
    const nowMs = this.#ctx.clock.monoMs();
    const seenMs = this.#seen.get(key);
    if (seenMs !== undefined && nowMs - seenMs < limits.leafReuseLookMs) return;
    if (this.#seen.size >= limits.leafReusesKeptCount) this.#seen.clear();
    this.#seen.set(key, nowMs);
    this.look(leaf, source).catch((error: unknown) => {
      this.#seen.delete(key);
      this.#ctx.log.warn("a reused certificate could not be recorded", { error: messageOf(error) });
    });
  }

  /** As `reused`, waiting. True when an alarm was raised or added to. */
  async look(leaf: LeafName, source: string): Promise<boolean> {
    if (!(await this.#tell(leaf, source))) return false;
    await this.#refuseEverywhere(leaf);
    return true;
  }

  async #tell(leaf: LeafName, source: string): Promise<boolean> {
    return await this.#ctx.sql.tx(async (tx) => {
      const found = await findSuperseded(tx, leaf);
      if (found === undefined || found.supersededForMs < withinLife(found, limits.leafReuseGraceMs, 1 / 6)) {
        // Within the grace it may be looked at again soon.
        this.#seen.delete(`${leaf.issuerKeyId}/${leaf.serial} ${source}`);
        return false;
      }
      const isNew = await noteReuse(tx, leaf, found, source);
      const { clusterId, subjectKind, subjectId } = found;
      const object = `${subjectKind}/${subjectId}`;
      await openAlert(tx, { clusterId, kind: "identity-cloned", object, detail: detailOf(leaf, found, source) });
      if (!isNew) return true;
      this.#ctx.log.error("a superseded certificate was used: two hosts hold one identity", {
        caller: object,
        address: source,
      });
      await appendAudit(tx, {
        actor: "system",
        action: "identity.cloned",
        object,
        ...(clusterId === "" ? {} : { clusterId }),
        before: { serial: leaf.serial, supersededAtMs: found.supersededAtMs, usedFrom: source },
        after: { serial: found.successor, usedFrom: found.successorUsedFrom, firstUsedAtMs: found.successorUsedAtMs },
      });
      return true;
    });
  }

  /**
   * Nodes, which know of no renewals, refuse the older certificate from now on, on connections that live too (LAW-I4). Every
   * use sees to it until the feed names it: a full feed, or a store that went away, may have kept it out.
   */
  async #refuseEverywhere({ issuerKeyId, serial }: LeafName): Promise<void> {
    const { sql, seal, hints, clock } = this.#ctx;
    await sql.tx(async (tx) => {
      const row = await findCertificate(tx, seal, issuerKeyId, serial);
      if (row?.status !== "superseded" || row.notAfterMs <= clock.nowMs() || (await isLeafRevoked(tx, row))) return;
      const { spiffe: spiffeId, notAfterMs, scope } = row;
      const entry = {
        issuerKeyId,
        serial,
        spiffeId,
        notAfterMs,
        reason: "used after it was replaced",
        revokedBy: "system",
      };
      if (scope === INSTALLATION) await addRevocationsEverywhere(tx, { seal, hints }, [entry]);
      else await addRevocations(tx, { seal, hints }, scope, [entry]);
    });
  }
}

function detailOf({ serial }: LeafName, found: Superseded, source: string): string {
  const when = (ms: number | null): string => (ms === null ? "unknown" : new Date(ms).toISOString());
  const newer =
    found.successor === null
      ? "no other is in use now"
      : `${short(found.successor)} is used from ${found.successorUsedFrom || "unknown"} since ${when(found.successorUsedAtMs)}`;
  const cure =
    found.subjectKind === "node"
      ? "find out which host is the right one; if in doubt revoke it (weft node revoke) and join again"
      : "find out who holds a copy; if in doubt revoke it (weft identity revoke)";
  return `two hosts hold this identity, or a disk was rolled back: certificate ${short(serial)}, replaced at ${when(found.supersededAtMs)}, was used again from ${source || "unknown"}; ${newer}. The older one is refused: ${cure}`;
}

function short(serial: string): string {
  return serial.slice(0, 12);
}
