/**
 * weft.admin.v1.StoreService: the store as operators see it, and a backup of it while control runs.
 *
 * A backup is written to a private file first and sent from there: the store is held for as long as it takes to read it, not
 * for as long as a slow reader takes to receive it. One at a time.
 */

import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { type RestoreStatus, StoreDriver, type StoreService } from "../../gen/weft/admin/v1/store_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { gapText } from "../domain/restore-gap.ts";
import { type RestoreHold, settle } from "../domain/restore-hold.ts";
import { type StoreStatus, storeStatus } from "../domain/store-status.ts";
import { closeAlert } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import { writeBackupFile } from "../store/backup-file.ts";
import { newestRestore } from "../store/restores.ts";
import { callerOf, type ServiceDeps } from "./service-context.ts";

export interface StoreServiceDeps extends ServiceDeps {
  readonly hold: RestoreHold;
}

export function storeService(deps: StoreServiceDeps): ServiceImpl<typeof StoreService> {
  let busy = false;
  return {
    async getStoreStatus() {
      return { status: statusMessage(await storeStatus(deps.sql)) };
    },
    async *backupStore(_request, context) {
      if (busy) {
        const message = "another backup is being taken; try again when it is done";
        throw new WeftError("resource_exhausted", message, { detail: "BACKUP_RUNNING", retry: "later" });
      }
      busy = true;
      try {
        yield* backup(deps, callerOf(context).spiffe);
      } finally {
        busy = false;
      }
    },
    async acceptRestore({ restoreId }, context) {
      const actor = callerOf(context).spiffe;
      await deps.sql.tx(async (tx) => {
        const restore = await newestRestore(tx);
        if (restore?.id !== restoreId) {
          const message = "the newest restore has another id";
          throw new WeftError("not_found", message, { detail: "RESTORE_NOT_FOUND" });
        }
        if (restore.settledAtMs === null) await settle(tx, restore, "accepted", actor);
        await closeAlert(tx, { clusterId: "", kind: "restore-gap", object: `restore/${restoreId}` });
        await appendAudit(tx, { actor, action: "restore.accepted", object: `restore/${restoreId}` });
      });
      deps.hold.forget();
      return {};
    },
  };
}

async function* backup(deps: StoreServiceDeps, actor: string): AsyncGenerator<{ piece: Uint8Array }> {
  const folder = await mkdtemp(join(tmpdir(), "weft-backup-"));
  try {
    await deps.sql.tx((tx) => appendAudit(tx, { actor, action: "store.backed_up", object: "store/control" }));
    const path = join(folder, "store.weft");
    await writeBackupFile(path, deps.sql, deps.seal);
    const file = await open(path, "r");
    try {
      const pieces = file.createReadStream({ highWaterMark: limits.backupPieceBytes, autoClose: false });
      for await (const piece of pieces) yield { piece: Uint8Array.from(piece as Buffer) };
    } finally {
      await file.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const drivers = { pglite: StoreDriver.EMBEDDED, postgres: StoreDriver.POSTGRES } as const;

/** A store's status as it goes over the wire. */
export function statusMessage(status: StoreStatus) {
  const { installation, restore } = status;
  return {
    driver: drivers[status.driver],
    serverVersion: status.serverVersion,
    primary: status.primary,
    timeline: BigInt(status.timeline),
    members: status.members.map(({ name, state, inSync, lagBytes }) => ({
      name,
      state,
      inSync,
      ...(lagBytes === null ? {} : { lagBytes: BigInt(lagBytes) }),
    })),
    schemaFound: status.schemaFound,
    schemaExpected: status.schemaExpected,
    sizeBytes: BigInt(status.sizeBytes),
    tables: Object.entries(status.tables).map(([name, rows]) => ({ name, rows: BigInt(rows) })),
    trustDomain: installation?.trustDomain ?? "",
    epoch: BigInt(installation?.epoch ?? 0),
    auditSeq: BigInt(installation?.auditSeq ?? 0),
    auditHash: Uint8Array.from(installation?.auditHash ?? []),
    moved: status.moved,
    ...(restore === undefined ? {} : { restore: restoreMessage(restore) }),
  };
}

function restoreMessage(restore: NonNullable<StoreStatus["restore"]>): Omit<RestoreStatus, "$typeName" | "$unknown"> {
  const { gap } = restore;
  return {
    restoreId: restore.id,
    restoredAtMs: BigInt(restore.restoredAtMs),
    takenAtMs: BigInt(restore.takenAtMs),
    backupEpoch: BigInt(restore.backupEpoch),
    backupAuditSeq: BigInt(restore.backupAuditSeq),
    epoch: BigInt(restore.epoch),
    waiting: restore.settledAtMs === null,
    settledHow: restore.settledHow,
    lostAuditRecords: BigInt(gap.auditRecords),
    lostSnapshotVersions: BigInt(gap.snapshotVersions),
    lostFeedPositions: BigInt(gap.feedPositions),
    revocationsLearned: BigInt(gap.revocationsLearned),
    unknownNodeIds: [...gap.unknownNodeIds],
    silentNodeNames: [...gap.silentNames],
    gap: gapText(gap),
  };
}
