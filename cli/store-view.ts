/** What is said about stores: for people, and as the facts that `--json` prints. */

import { type RestoreStatus, StoreDriver, type StoreStatus } from "../gen/weft/admin/v1/store_pb.ts";
import { safeText, table, when } from "./output.ts";

/** The facts of a store: the same whether control or the host itself was asked. */
export function storeFacts(status: StoreStatus): object {
  const { driver, tables, ...rest } = status;
  return {
    ...rest,
    driver: driverName(driver),
    tables: Object.fromEntries(tables.map(({ name, rows }) => [name, rows])),
  };
}

function driverName(driver: StoreDriver): string {
  return driver === StoreDriver.EMBEDDED ? "embedded" : "postgres";
}

export function storeText(status: StoreStatus): string {
  const { restore } = status;
  const schema =
    status.schemaFound === status.schemaExpected
      ? `${status.schemaFound}, as this program has it`
      : `${status.schemaFound}; this program expects ${status.schemaExpected}`;
  const members = status.members.map(
    ({ name, state, inSync, lagBytes }) =>
      `${name || "(no name)"} ${state}${inSync ? ", in sync" : ""}${lagBytes === undefined ? "" : `, ${lagBytes} bytes behind`}`,
  );
  const filled = status.tables.filter(({ rows }) => rows > 0n);
  const rows: [string, string][] = [
    ["driver", `${driverName(status.driver)} (PostgreSQL ${status.serverVersion})`],
    [
      "primary",
      status.primary
        ? `yes${status.timeline === 0n ? "" : `, on timeline ${status.timeline}`}`
        : "no: nothing can be changed here",
    ],
    ["members", members.length === 0 ? "none follow it" : members.join("; ")],
    ["schema", schema],
    ["installation", status.trustDomain === "" ? "none yet" : `${status.trustDomain}, epoch ${status.epoch}`],
    ["audit head", `record ${status.auditSeq}, ${Buffer.from(status.auditHash).toString("hex").slice(0, 16)}`],
    ["size", `${(Number(status.sizeBytes) / 1_048_576).toFixed(1)} MiB`],
    ["rows", filled.map(({ name, rows: count }) => `${name} ${count}`).join(", ") || "none"],
  ];
  if (status.moved !== "") rows.push(["moved", status.moved]);
  if (restore !== undefined) rows.push(...restoreRows(restore));
  return table(["STORE", ""], rows);
}

function restoreRows(restore: RestoreStatus): [string, string][] {
  const state = restore.waiting
    ? "nodes are held back until they have told what they know"
    : `settled (${restore.settledHow})`;
  return [
    [
      "restored",
      `${when(restore.restoredAtMs)} as ${restore.restoreId}, from a backup of ${when(restore.takenAtMs)}; ${state}`,
    ],
    ["gap", restore.gap],
  ];
}

interface Copied {
  readonly schemaVersion: number;
  readonly applied: readonly number[];
  readonly rows: number;
  readonly verdict: {
    readonly ok: boolean;
    readonly audit: { readonly ok: boolean; readonly seq: number };
    readonly authentic: Readonly<Record<string, number>>;
    readonly altered: Readonly<Record<string, number>>;
    readonly unknown: readonly string[];
  };
  readonly copyMs: number;
  readonly migrateAndVerifyMs: number;
  readonly foundVersion: number;
  readonly moved: string;
}

/** What a rehearsal came to, line by line. */
export function rehearsalText(rehearsal: Copied, what: string): string {
  const { verdict, applied } = rehearsal;
  const authentic = Object.values(verdict.authentic).reduce((sum, each) => sum + each, 0);
  const altered = Object.entries(verdict.altered).map(([name, rows]) => `${rows} of ${name}`);
  const lines = [
    `${what}: ${rehearsal.rows} rows copied and taken back in ${rehearsal.copyMs} ms; nothing was changed`,
    applied.length === 0
      ? `schema ${rehearsal.foundVersion} is what this program has: a start would apply nothing`
      : `a start would bring schema ${rehearsal.foundVersion} to ${rehearsal.schemaVersion}, applying ${applied.join(", ")}`,
    `migrating and verifying took ${rehearsal.migrateAndVerifyMs} ms; nobody can use the store for about as long`,
    `audit chain: ${verdict.audit.ok ? `whole, ${verdict.audit.seq} records` : `BROKEN at record ${verdict.audit.seq}`}`,
    `trust rows: ${authentic} authentic${altered.length === 0 ? "" : `; NOT WHAT WAS WRITTEN: ${altered.join(", ")}`}`,
  ];
  if (verdict.unknown.length > 0) lines.push(`tables this program cannot judge: ${verdict.unknown.join(", ")}`);
  if (rehearsal.moved !== "") lines.push(`control would not start here: the store has ${rehearsal.moved}`);
  return lines.map(safeText).join("\n");
}
