/**
 * An installation moves from one store to another and stays itself: ids, keys, certificates, audit and every position.
 *
 * V1. Control may start on at most one of the two at any moment: the new one carries the mark "arriving" until the old one
 *     carries "departed", and only then loses it.
 * V2. Each stage is one transaction. Killed anywhere, the same command goes on: a copy that is complete is kept as long as
 *     it still equals the old store, and made anew otherwise.
 * V3. Equal means every row of every table, by digest, in the very transactions that copied; and the copy's audit chain and
 *     MACs are looked at as they stand in the new store.
 *
 * The old store must not be in use: control is stopped, and nodes go on without it for as long as their policy says.
 */

import { isDeepStrictEqual } from "node:util";
import { WeftError } from "../../lib/errors.ts";
import { type Random, randomLabel } from "../../lib/random.ts";
import { appendAudit, auditHead } from "../store/audit.ts";
import { rowCounts, type TableShape, tableShapes } from "../store/catalog.ts";
import { isInitialized } from "../store/installation.ts";
import { appliedMigrations, type MoveMark, moveMark, requireSchema, requireServer } from "../store/migrate.ts";
import { storeDigest } from "../store/rows.ts";
import type { Queryable, Sql, Tx } from "../store/sql.ts";
import type { TrustSeal } from "../store/trust.ts";
import {
  copyFromStore,
  finishCopy,
  isEmptyDatabase,
  requireVerified,
  sameMigrations,
  withoutTrace,
} from "./store-copy.ts";
import { dropEverything } from "./store-restore.ts";

export type MoveStage = "copied" | "departed" | "arrived";

export interface MoveDeps {
  readonly source: Sql;
  readonly target: Sql;
  readonly seal: TrustSeal;
  readonly random: Random;
  /** The two stores in words, without secrets. */
  readonly sourceName: string;
  readonly targetName: string;
  /** Told after each stage is durable. */
  readonly onStage?: (stage: MoveStage) => void;
}

export interface MoveReport {
  readonly moveId: string;
  readonly dryRun: boolean;
  /** What this run found done already. */
  readonly resumedAfter: MoveStage | "";
  readonly rows: number;
  readonly tables: Readonly<Record<string, number>>;
  readonly digest: string;
  readonly auditSeq: number;
}

/**
 * Moves, or goes on moving. Throws `failed_precondition`: SCHEMA_* of the old store, NOT_INITIALIZED, STORE_NOT_EMPTY (the
 * new one has something else in it), STORE_MOVED (it went somewhere else); `data_loss` STORE_ALTERED, COPY_DIFFERS.
 */
export async function moveStore(deps: MoveDeps, dryRun: boolean): Promise<MoveReport> {
  const { source, target } = deps;
  await requireServer(target);
  await requireSchema(source);
  if (!(await isInitialized(source))) {
    const message = "the old store has no installation: there is nothing to move";
    throw refuse("NOT_INITIALIZED", message);
  }
  const departed = await moveMark(source);
  if (departed === undefined) return await moveAll(deps, dryRun);
  const arriving = (await isEmptyDatabase(target)) ? undefined : await moveMark(target);
  if (arriving?.id === departed.id) {
    if (!dryRun) await arrive(deps, arriving);
    return { ...(await describe(deps, departed.id, dryRun)), resumedAfter: "departed" };
  }
  if (!(await hasArrived(target, departed))) {
    throw refuse("STORE_MOVED", `this store has moved to ${departed.counterpart}; there is nothing left to move`);
  }
  return { ...(await describe(deps, departed.id, dryRun)), resumedAfter: "arrived" };
}

async function moveAll(deps: MoveDeps, dryRun: boolean): Promise<MoveReport> {
  const { source, target } = deps;
  const isEmpty = await isEmptyDatabase(target);
  const there = isEmpty ? undefined : await moveMark(target);
  // What another installation left half way may be all that its control would start on.
  if (!isEmpty && (there?.direction !== "arriving" || !(await isSameInstallation(source, target)))) {
    throw refuse("STORE_NOT_EMPTY", "the new store is not empty; make an empty database for the installation");
  }
  if (there !== undefined && !dryRun && (await isSame(source, target))) {
    await depart(deps, there.id);
    await arrive(deps, there);
    return { ...(await describe(deps, there.id, dryRun)), resumedAfter: "copied" };
  }
  const moveId = there?.id ?? `mv-${randomLabel(deps.random, 16)}`;
  const copied = await copy(deps, moveId, dryRun);
  if (!dryRun) {
    deps.onStage?.("copied");
    await depart(deps, moveId);
    await arrive(deps, { id: moveId });
  }
  return { ...copied, moveId, dryRun, resumedAfter: "" };
}

async function isSameInstallation(...stores: readonly [Queryable, Queryable]): Promise<boolean> {
  const [own, other] = await Promise.all(stores.map((q) => q.query("select trust_domain from installation")));
  return isDeepStrictEqual(own, other);
}

type Copied = Pick<MoveReport, "rows" | "tables" | "digest" | "auditSeq">;

async function copy(deps: MoveDeps, moveId: string, dryRun: boolean): Promise<Copied> {
  const { source, target, seal } = deps;
  return await source.tx(
    async (from) => {
      const migrations = sameMigrations(await appliedMigrations(from));
      // Before the new store waits in its transaction: its server gives up on one that is idle for long.
      const digest = await storeDigest(from, await copiedShapes(from));
      const receive = async (tx: Tx): Promise<Copied> => {
        await dropEverything(tx);
        const shapes = await copyFromStore(tx, from, migrations);
        if ((await storeDigest(tx, shapes)) !== digest) throw differs();
        requireVerified(await finishCopy(tx, seal, migrations));
        await tx.query("insert into store_move (id, direction, counterpart) values ($1, 'arriving', $2)", [
          moveId,
          deps.sourceName,
        ]);
        const tables = await rowCounts(tx, shapes);
        const rows = Object.values(tables).reduce((sum, each) => sum + each, 0);
        return { rows, tables, digest, auditSeq: (await auditHead(tx)).seq };
      };
      return dryRun ? await withoutTrace(target, receive) : await target.tx(receive, { mode: "repeatable read" });
    },
    { mode: "read only" },
  );
}

/** Everything but the mark of a move. */
async function copiedShapes(q: Queryable): Promise<readonly TableShape[]> {
  return (await tableShapes(q)).filter(({ name }) => name !== "store_move");
}

/** Whether a copy that was made before still equals the old store (V2). */
async function isSame(source: Sql, target: Sql): Promise<boolean> {
  const digest = (sql: Sql): Promise<string> =>
    sql.tx(async (tx) => await storeDigest(tx, await copiedShapes(tx)), { mode: "read only" });
  return (await digest(source)) === (await digest(target));
}

async function depart({ source, targetName, onStage }: MoveDeps, moveId: string): Promise<void> {
  await source.tx((tx) =>
    tx.query("insert into store_move (id, direction, counterpart) values ($1, 'departed', $2)", [moveId, targetName]),
  );
  onStage?.("departed");
}

async function arrive(
  { target, sourceName, targetName, onStage }: MoveDeps,
  mark: Pick<MoveMark, "id">,
): Promise<void> {
  await target.tx(async (tx) => {
    await tx.query("delete from store_move where id = $1 and direction = 'arriving'", [mark.id]);
    await appendAudit(tx, {
      actor: "system",
      action: "store.moved",
      object: `move/${mark.id}`,
      before: { store: sourceName },
      after: { store: targetName },
    });
  });
  onStage?.("arrived");
}

/** Whether the new store remembers this very move in its audit log. */
async function hasArrived(target: Queryable, { id }: MoveMark): Promise<boolean> {
  if (await isEmptyDatabase(target)) return false;
  const rows = await target.query("select 1 as found from audit where action = 'store.moved' and object = $1", [
    `move/${id}`,
  ]);
  return rows.length > 0;
}

async function describe(deps: MoveDeps, moveId: string, dryRun: boolean): Promise<Omit<MoveReport, "resumedAfter">> {
  return await deps.target.tx(
    async (tx) => {
      const shapes = await copiedShapes(tx);
      const tables = await rowCounts(tx, shapes);
      const rows = Object.values(tables).reduce((sum, each) => sum + each, 0);
      return {
        moveId,
        dryRun,
        rows,
        tables,
        digest: await storeDigest(tx, shapes),
        auditSeq: (await auditHead(tx)).seq,
      };
    },
    { mode: "read only" },
  );
}

function differs(): WeftError {
  return new WeftError("data_loss", "the copy is not the same as the store it was made from; nothing was changed", {
    detail: "COPY_DIFFERS",
  });
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("failed_precondition", message, { detail });
}
