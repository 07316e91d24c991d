/**
 * M-A9, THR-U2: every RPC of control that changes something leaves exactly one record of its own, with actor, cluster,
 * organization, object, before, after and result; and changes nothing at all when the record cannot be written. An RPC that
 * is in none of the lists fails here: whoever adds one says what it leaves.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { controlPolicy } from "../../control/rpc/policy-table.ts";
import { listAudit, verifyAudit } from "../../control/store/audit.ts";
import { tableShapes } from "../../control/store/catalog.ts";
import type { Sql } from "../../control/store/sql.ts";
import type { AuditRecord } from "../../fabric/audit/chain.ts";
import { migratedPglite } from "../harness/shared-stores.ts";
import type { AuditedCase } from "./audited-case.ts";
import { auditedCases, isRead, unaudited } from "./audited-rpcs.ts";
import { type AuditedStage, createAuditedStage } from "./audited-stage.ts";

const cases = Object.entries(auditedCases);
const rpcs = Object.keys(controlPolicy).filter((rpc) => rpc.startsWith("weft."));

let sql: Sql;
let stage: AuditedStage;
let tables: readonly string[];
beforeAll(async () => {
  sql = await migratedPglite();
  stage = await createAuditedStage(sql);
  tables = (await tableShapes(sql)).map(({ name }) => name);
  await sql.script(`create function refuse_record() returns trigger language plpgsql
    as $$ begin raise exception 'the disk is full'; end $$`);
});
afterAll(() => sql.close());

/** What is in every table, in one statement. */
async function digest(): Promise<string> {
  const parts = tables.map(
    (name) => `select '${name}' as name, md5(string_agg(t::text, ',' order by t::text)) as rows from "${name}" t`,
  );
  return JSON.stringify(await sql.query(`${parts.join(" union all ")} order by name`));
}

async function headSeq(): Promise<number> {
  const verdict = await verifyAudit(sql);
  if (!verdict.ok) throw new Error(verdict.why);
  return verdict.seq;
}

async function unrecordable(name: string, { call }: AuditedCase): Promise<void> {
  await sql.script("create trigger refuse_record before insert on audit for each row execute function refuse_record()");
  const before = await digest();
  const outcome = await call(stage).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect.soft(outcome, name).toMatchObject({ reason: "unavailable", detail: "AUDIT_UNWRITABLE" });
  expect.soft(String(outcome), name).not.toContain("disk");
  expect.soft(await digest(), name).toBe(before);
  await sql.script("drop trigger refuse_record on audit");
}

function expectRecord(name: string, record: AuditRecord, wanted: AuditedCase): void {
  const actors = { node: stage.nodeSpiffe(), anonymous: "anonymous" };
  const actor = wanted.actor === undefined ? stage.world.operatorCaller.spiffe : actors[wanted.actor];
  expect.soft({ actor: record.actor, result: record.result }, name).toEqual({ actor, result: "ok" });
  expect.soft(record.object, name).toMatch(new RegExp(`^${wanted.object}.`));
  if (wanted.installation === true) expect.soft(record.clusterId, name).toBe("");
  else expect.soft(record.clusterId, name).toMatch(/^cl-/);
  expect.soft(record.organizationId, name).toBe(wanted.organization === true ? stage.ids.get("acme") : "");
  expect.soft({ before: record.beforeJson !== "", after: record.afterJson !== "" }, name).toEqual({
    before: wanted.before === true,
    after: wanted.after === true,
  });
}

describe("M-A9 every RPC that changes something", () => {
  it("is in one of the lists, and the lists are about RPCs there are", () => {
    const named = new Set([
      ...Object.keys(auditedCases).map((key) => key.replace(/#.*/, "")),
      ...Object.keys(unaudited),
    ]);
    expect(rpcs.filter((rpc) => !isRead(rpc) && !named.has(rpc))).toEqual([]);
    expect([...named].filter((rpc) => !rpcs.includes(rpc))).toEqual([]);
  });

  it(`leaves one record, and nothing when it cannot be written: ${cases.length} calls`, async () => {
    for (const [name, each] of cases) {
      await unrecordable(name, each);
      const before = await headSeq();
      await each.call(stage);
      const added = await listAudit(sql, { clusterId: "", afterSeq: before, limit: 100 });
      const own = added.filter(({ action }) => action === each.action && !(each.entails ?? []).includes(action));
      expect.soft(own.length, `${name}: ${added.map(({ action }) => action).join(", ")}`).toBe(1);
      expectRecord(name, own[0] as AuditRecord, each);
      const others = added.filter((record) => record !== own[0]).map(({ action }) => action);
      expect.soft([...new Set(others)].sort(), name).toEqual([...(each.entails ?? [])].sort());
    }
    expect(await verifyAudit(sql)).toMatchObject({ ok: true });
  }, 120_000);

  it("tells no secret: not in a record, not in a log line, not in any table", async () => {
    const keys = [...stage.hosts.values()].map(
      ({ keys: { privateKey } }) => privateKey.export({ format: "jwk" }).d ?? "",
    );
    const secrets = [...stage.secrets, ...keys, ...keys.map((d) => Buffer.from(d, "base64url").toString("hex"))];
    expect(secrets.length).toBeGreaterThan(6);
    const rows: string[] = [];
    for (const { name } of await tableShapes(sql)) {
      for (const row of await sql.query<{ row: string }>(`select to_jsonb(t)::text as row from "${name}" t`))
        rows.push(row.row);
    }
    const everything = [...rows, ...stage.logged].join("\n");
    const forms = secrets.flatMap((secret) => [
      secret,
      Buffer.from(secret).toString("hex"),
      Buffer.from(secret).toString("base64").replace(/=+$/, ""),
    ]);
    for (const form of forms) expect(everything.includes(form)).toBe(false);
    expect(everything).not.toMatch(/PRIVATE KEY/);
  });
});
