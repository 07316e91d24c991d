/**
 * Whatever is sent to control: it answers with an error of a known class that repeats nothing of what was sent, changes
 * nothing, and writes down that it refused. Every unary RPC is called with an empty request and with hostile texts, numbers
 * and bytes in every field.
 */

import { create, type DescMessage, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { controlPolicy } from "../../control/rpc/policy-table.ts";
import { verifyAudit } from "../../control/store/audit.ts";
import { tableShapes } from "../../control/store/catalog.ts";
import type { Sql } from "../../control/store/sql.ts";
import { CaService, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { reasons, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { rpcName } from "../../rpc/policy.ts";
import { controlServices } from "../harness/control-services.ts";
import { migratedPglite } from "../harness/shared-stores.ts";
import { auditedCases } from "./audited-rpcs.ts";
import { type AuditedStage, createAuditedStage } from "./audited-stage.ts";

const marker = "planted-9f3c";
const hostileTexts = [
  `${marker}'; drop table audit; --`,
  `${marker}\u202e\u001b[2J`,
  `${marker}${"x".repeat(20_000)}`,
  `../../${marker}/%2e%2e/`,
  `${marker}\u0000`,
] as const;

let sql: Sql;
let stage: AuditedStage;
beforeAll(async () => {
  sql = await migratedPglite();
  stage = await createAuditedStage(sql);
  for (const [name, { call }] of Object.entries(auditedCases)) {
    if (name.includes("Group#") || name.startsWith("weft.admin.v1.PoolService")) break;
    await call(stage);
  }
});
afterAll(() => sql.close());

/** Every scalar field set to something nobody would send: a hostile text, the largest number, 5 kB of bytes. */
function hostile(schema: DescMessage, text: string): Message {
  const message = reflect(schema, create(schema));
  for (const field of schema.fields) {
    if (field.oneof !== undefined) continue;
    if (field.fieldKind === "message") {
      const inner = reflect(field.message, create(field.message));
      for (const each of field.message.fields)
        if (each.fieldKind === "scalar") inner.set(each, sentFor(each.scalar, text));
      message.set(field, inner);
    } else if (field.fieldKind === "scalar" && field.name !== "cluster_id")
      message.set(field, sentFor(field.scalar, text));
  }
  const cluster = schema.fields.find(({ name }) => name === "cluster_id");
  if (cluster !== undefined) message.set(cluster, stage.clusterId);
  return message.message;
}

/** By the number of the scalar's type. */
function sentFor(scalar: number, text: string): unknown {
  if (scalar === 9) return text;
  if (scalar === 12) return new Uint8Array(5_000).fill(0x41);
  if (scalar === 8) return true;
  if (scalar === 1 || scalar === 2) return Number.MAX_VALUE / 2;
  if (scalar === 3 || scalar === 16 || scalar === 18) return 2n ** 63n - 1n;
  if (scalar === 4 || scalar === 6) return 2n ** 64n - 1n;
  return 2 ** 31 - 1;
}

async function answerOf(service: DescService, method: DescMethod, request: Message): Promise<WeftError | undefined> {
  const callers = controlPolicy[rpcName(method)]?.callers ?? [];
  const as = callers.includes("operator") ? stage.operator : callers.includes("node") ? stage.node : stage.stranger;
  const client = as(service) as unknown as Record<string, (request: Message) => Promise<unknown>>;
  try {
    await client[method.localName]?.(request);
    return undefined;
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    return error;
  }
}

const unary = Object.values(controlServices).flatMap((service) =>
  service.methods.filter(({ methodKind }) => methodKind === "unary").map((method) => ({ service, method })),
);

async function digest(): Promise<string> {
  const names = (await tableShapes(sql))
    .map(({ name }) => name)
    .filter((name) => !/^(audit|audit_head|beat_)/.test(name));
  const parts = names.map(
    (name) => `select '${name}' as name, md5(string_agg(t::text, ',' order by t::text)) as rows from "${name}" t`,
  );
  return JSON.stringify(await sql.query(`${parts.join(" union all ")} order by name`));
}

async function refusalsWritten(): Promise<number> {
  const [row] = await sql.query<{ n: number }>("select count(*) as n from audit where result like 'refused:%'");
  return row?.n ?? 0;
}

interface Sent {
  readonly name: string;
  readonly answer: () => Promise<WeftError | undefined>;
}

const sent = (): readonly Sent[] =>
  unary.flatMap(({ service, method }) => {
    const requests = [create(method.input), ...hostileTexts.map((text) => hostile(method.input, text))];
    return requests.map((request, way) => ({
      name: `${rpcName(method)} (${way})`,
      answer: () => answerOf(service, method, request),
    }));
  });

function wrongWith(name: string, { reason, detail, message, metadata }: WeftError): readonly string[] {
  const told = `${message} ${JSON.stringify(metadata)}`;
  return [
    ...(reason === "internal" || reason === "unavailable" ? [`${name}: ${reason}`] : []),
    ...(reasons.includes(reason) && /^[A-Z][A-Z0-9_]+$/.test(detail) ? [] : [`${name}: ${detail}`]),
    ...(told.includes(marker) || /select |insert |\bat .*\.ts|\/work\//i.test(told)
      ? [`${name}: ${told.slice(0, 200)}`]
      : []),
  ];
}

describe("whatever is sent to control", () => {
  it(`is refused with an error of a known class that repeats nothing of it: ${unary.length} RPCs, 6 ways`, async () => {
    const before = await refusalsWritten();
    const refused: Sent[] = [];
    const wrong: string[] = [];
    for (const each of sent()) {
      const error = await each.answer();
      if (error === undefined) continue;
      refused.push(each);
      wrong.push(...wrongWith(each.name, error));
    }
    expect(wrong).toEqual([]);
    expect(refused.length).toBeGreaterThan(unary.length);
    // Written down within the bound, which this has passed for the operator alone.
    const written = (await refusalsWritten()) - before;
    expect(written).toBeGreaterThanOrEqual(limits.refusalsRecordedBurstCount);
    expect(written).toBeLessThanOrEqual(refused.length);
    // What is refused changes nothing.
    const kept = await digest();
    for (const each of refused) await each.answer();
    expect(await digest()).toBe(kept);
    expect(await verifyAudit(sql)).toMatchObject({ ok: true });
  }, 120_000);

  it("is not in the log, and not in a record beyond what names the object", async () => {
    expect(stage.logged.length).toBeGreaterThan(unary.length);
    const lines = stage.logged.filter((line) => line.includes(marker));
    expect(lines).toEqual([]);
    const long = await sql.query("select seq from audit where length(object) > 1000 or length(after_json) > 40000");
    expect(long).toEqual([]);
  });
});

it("a rotation is not told to leave a phase that is none", async () => {
  const about = { clusterId: stage.clusterId, kind: RootKind.NODE };
  for (const phase of [RotationPhase.DONE, RotationPhase.ROLLED_BACK, 99 as RotationPhase])
    await expect(stage.operator(CaService).advanceRotation({ ...about, phase })).rejects.toMatchObject({
      reason: "invalid_argument",
    });
});
