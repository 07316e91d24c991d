/** `weft lease`: who holds what under which fence, who held it, and taking it away. */

import type { Command } from "commander";
import { exclusiveLeaseName } from "../../fabric/lease.ts";
import {
  type GetLeaseResponse,
  LeaseAdminService,
  type LeaseEntry,
  LeaseState,
  TenureEnd,
} from "../../gen/weft/admin/v1/lease_pb.ts";
import type { Fence } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { actorName, enumName, groupExamples, print, table, when } from "../output.ts";
import { action, findResource, type GlobalOptions, type Session, withSession } from "../session.ts";

interface ListOptions extends GlobalOptions {
  readonly prefix?: string;
}

const fenceText = (fence: Fence | undefined): string => `${fence?.epoch ?? 0n}.${fence?.counter ?? 0n}`;

const holderText = (row: { readonly holderName: string; readonly holderNodeId: string }): string =>
  row.holderName || row.holderNodeId || "nobody";

function endsText({ state, leftMs, expiresAtMs }: LeaseEntry): string {
  return state === LeaseState.HELD ? `in ${(Number(leftMs) / 1_000).toFixed(1)} s` : when(expiresAtMs);
}

async function allLeases(session: Session, prefix: string): Promise<LeaseEntry[]> {
  const clusterId = await session.clusterId();
  const leases: LeaseEntry[] = [];
  for (let afterName = ""; ; ) {
    const page = await session.client(LeaseAdminService).listLeases({ clusterId, namePrefix: prefix, afterName });
    leases.push(...page.leases);
    if (page.nextAfterName === "") return leases;
    afterName = page.nextAfterName;
  }
}

/** `db` is short for `resource/<id of db>`: the lease of an exclusive resource, unless a lease has that very name. */
async function withLease<T>(session: Session, wanted: string, work: (name: string) => Promise<T>): Promise<T> {
  try {
    return await work(wanted);
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.detail !== "LEASE_NOT_FOUND") throw thrown;
    const resource = await findResource(session, wanted).catch(() => undefined);
    if (resource === undefined) {
      const message = `there is no lease "${wanted}" and no resource of that name; weft lease list shows the leases`;
      throw new WeftError("not_found", message, { detail: "LEASE_NOT_FOUND", cause: thrown });
    }
    return await work(exclusiveLeaseName(resource.id));
  }
}

async function listLeases(options: ListOptions): Promise<void> {
  const leases = await withSession(options, (session) => allLeases(session, options.prefix ?? ""));
  print(options, { leases }, () =>
    table(
      ["NAME", "STATE", "HOLDER", "BOOT", "FENCE", "ENDS", "RENEWALS"],
      leases.map((row) => [
        row.name,
        enumName(LeaseState, row.state),
        holderText(row),
        row.bootId.slice(0, 8) || "-",
        fenceText(row.fence),
        endsText(row),
        String(row.renewedCount),
      ]),
    ),
  );
}

function tenureTable({ tenures }: GetLeaseResponse): string {
  return table(
    ["FENCE", "HOLDER", "BOOT", "ACQUIRED", "RENEWALS", "ENDED", "HOW"],
    tenures.map((row) => [
      fenceText(row.fence),
      holderText(row),
      row.bootId.slice(0, 8) || "-",
      when(row.acquiredAtMs),
      String(row.renewedCount),
      row.end === TenureEnd.UNSPECIFIED ? "-" : when(row.endedAtMs),
      row.end === TenureEnd.UNSPECIFIED
        ? "-"
        : `${enumName(TenureEnd, row.end)}${row.endedBy === "" ? "" : ` by ${actorName(row.endedBy)}`}`,
    ]),
  );
}

async function showLease(options: GlobalOptions, wanted: string): Promise<void> {
  const answer = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    return await withLease(session, wanted, (name) => session.client(LeaseAdminService).getLease({ clusterId, name }));
  });
  const { lease } = answer;
  print(options, answer, () =>
    lease === undefined
      ? "(none)"
      : [
          `lease    ${lease.name}`,
          `state    ${enumName(LeaseState, lease.state)}`,
          `holder   ${holderText(lease)}${lease.bootId === "" ? "" : `, boot ${lease.bootId}`}`,
          `fence    ${fenceText(lease.fence)}`,
          `ends     ${endsText(lease)}`,
          "",
          tenureTable(answer),
        ].join("\n"),
  );
}

async function fence(options: GlobalOptions, wanted: string): Promise<void> {
  const answer = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    return await withLease(session, wanted, (name) =>
      session.client(LeaseAdminService).fenceLease({ clusterId, name }),
    );
  });
  const { lease, changed } = answer;
  print(options, answer, () =>
    changed
      ? `nobody holds ${lease?.name} any more; fence ${fenceText(lease?.fence)}`
      : `${lease?.name} was fenced already, and nobody has held it since; fence ${fenceText(lease?.fence)}`,
  );
}

export function addLeaseCommands(program: Command): void {
  const lease = program
    .command("lease")
    .description("leases: exclusive rights to act, and their fences")
    .addHelpText("after", groupExamples("weft lease list", "weft lease show db", "weft lease fence db"));
  lease
    .command("list")
    .description("list leases: holder, fence, time left")
    .option("--prefix <text>", "names that begin with this")
    .addHelpText("after", "\nExample:\n  weft lease list --prefix resource/ --json")
    .action(action(listLeases));
  lease
    .command("show <lease>")
    .description("show a lease and who held it before, by name or by its exclusive resource")
    .addHelpText("after", "\nExample:\n  weft lease show db")
    .action(action(showLease));
  lease
    .command("fence <lease>")
    .description("take a lease from its holder at once; nobody holds it until it is acquired again")
    .addHelpText("after", "\nExample:\n  weft lease fence db")
    .action(action(fence));
}
