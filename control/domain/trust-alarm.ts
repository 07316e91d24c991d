/**
 * The alarm for trust rows that somebody else wrote (REVIEW-16). Whoever reads such a row gets nothing from it; this tells
 * people, once per row: an alert that stays open until the row is right again or gone, and one audit record.
 *
 * TA1. A row is named by its table and key. Telling happens outside the transaction that found it, which will fail.
 * TA2. However many forged rows there are, at most `limits.forgedRowsToldMaxCount` are told by a process.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { closeAlert, openAlert, openAlertsOf } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import type { Sql } from "../store/sql.ts";
import type { MacField, TrustSeal } from "../store/trust.ts";

/** Where the key of a row is among the fields its MAC covers. Of a table that is not here, the first two fields. */
const keyFields: Readonly<Record<string, readonly number[]>> = {
  installation: [],
  authority: [0, 1, 2],
  signing_key: [0, 1, 2],
  certificate: [0, 1],
  identity: [0],
  node: [0],
  membership: [1],
  role_assignment: [1, 2, 3],
  revocation: [0, 1, 2, 3, 4],
  pool: [0],
  resource: [0],
  listener: [0],
  qos_policy: [0],
  route_intent: [0],
  offline_policy: [0],
  snapshot_payload: [0, 1, 2, 3],
  join_token: [0],
  service_lease: [0],
  workload: [0],
  term: [0],
};
const PLAIN_KEY = /^[A-Za-z0-9._:/-]{0,180}$/;

/** The name of a trust row: table and key; a key that is no plain text is a hash of it. */
export function trustRowName(table: string, fields: readonly MacField[]): string {
  const key = (keyFields[table] ?? [0, 1]).map((at) => String(fields[at] ?? "")).join("/");
  if (key === "") return table;
  const plain = PLAIN_KEY.test(key) ? key : `sha256:${createHash("sha256").update(key).digest("hex").slice(0, 32)}`;
  return `${table}/${plain}`;
}

const kind = "trust-row-forged";

export interface TrustAlarm {
  /** Judges like `seal`, and tells what it judged to be forged. */
  guard(seal: TrustSeal): TrustSeal;
  /** Runs `read`, which reads every trust row through the guarded seal; what was told and is not there any more is over. */
  sweep(read: () => Promise<unknown>): Promise<void>;
  /** Resolves when everything found so far has been told, or could not be. */
  settled(): Promise<void>;
}

/** One per process and store. */
export function createTrustAlarm(ctx: { readonly sql: Sql; readonly log: Log }): TrustAlarm {
  return new StoredAlarm(ctx.sql, ctx.log);
}

class StoredAlarm implements TrustAlarm {
  readonly #sql: Sql;
  readonly #log: Log;
  /** Names of rows that are known to be told. */
  readonly #told = new Set<string>();
  readonly #telling = new Set<Promise<void>>();
  /** What of that the sweep under way came by. */
  #seen = new Set<string>();
  /** Out of whatever transaction calls (TA1). */
  readonly #outside = AsyncLocalStorage.snapshot();

  constructor(sql: Sql, log: Log) {
    this.#sql = sql;
    this.#log = log;
  }

  guard(seal: TrustSeal): TrustSeal {
    return {
      ...seal,
      verify: (table, fields, mac) => {
        const right = seal.verify(table, fields, mac);
        if (right && this.#told.size === 0) return right;
        const object = trustRowName(table, fields);
        if (this.#told.has(object)) this.#seen.add(object);
        if (right) this.#righted(object);
        else this.#forged(object);
        return right;
      },
    };
  }

  async sweep(read: () => Promise<unknown>): Promise<void> {
    // Told by others too, or by this process before it was started again.
    const open = await openAlertsOf(this.#sql, "", [kind]);
    for (const { object } of open) this.#told.add(object);
    this.#seen = new Set();
    await read();
    for (const { object } of open) {
      if (!this.#seen.has(object) && !object.startsWith("snapshot_payload/")) this.#righted(object);
    }
    await this.settled();
  }

  async settled(): Promise<void> {
    while (this.#telling.size > 0) await Promise.all(this.#telling);
  }

  #forged(object: string): void {
    if (this.#told.has(object) || this.#told.size >= limits.forgedRowsToldMaxCount) return;
    this.#told.add(object);
    this.#log.error("a stored trust record was written by somebody else; nothing is issued from it", {
      detail: "TRUST_ROW_UNAUTHENTIC",
      resource: object,
    });
    this.#tell(object, "trust.forged", (tx) => {
      const detail = "written by somebody who is not a control of this installation; restore the row, or delete it";
      return openAlert(tx, { clusterId: "", kind, object, detail });
    });
  }

  #righted(object: string): void {
    if (!this.#told.delete(object)) return;
    this.#tell(object, "trust.righted", (tx) => closeAlert(tx, { clusterId: "", kind, object }));
  }

  /** `change` says whether it made the change: only then, and only once among all replicas, there is a record. */
  #tell(object: string, action: string, change: (tx: Parameters<typeof appendAudit>[0]) => Promise<boolean>): void {
    const telling = this.#outside(async () => {
      try {
        await this.#sql.tx(async (tx) => {
          if (!(await change(tx))) return;
          const result = action === "trust.forged" ? "refused:TRUST_ROW_UNAUTHENTIC" : "ok";
          await appendAudit(tx, { actor: "system", action, object, result });
        });
      } catch (thrown) {
        // Told again when it is read again.
        this.#told.delete(object);
        this.#log.warn("an altered trust record could not be told", { resource: object, error: messageOf(thrown) });
      }
    }).finally(() => this.#telling.delete(telling));
    this.#telling.add(telling);
  }
}
