import { createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { callerKey, RefusalLedger } from "../../../control/domain/refusals.ts";
import { controlPolicy } from "../../../control/rpc/policy-table.ts";
import { refusalRecorder } from "../../../control/rpc/refusals.ts";
import { recordingRefusal } from "../../../control/services/service-context.ts";
import type { StoreContext } from "../../../control/store/context.ts";
import type { Sql } from "../../../control/store/sql.ts";
import { auditHash } from "../../../fabric/audit/chain.ts";
import { TokenService } from "../../../gen/weft/admin/v1/token_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError, type WeftErrorOptions } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { anonymousCaller, type Caller, kCaller } from "../../../rpc/caller.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { errorInterceptor, refusalInterceptor } from "../../../rpc/interceptors.ts";

interface Written {
  readonly action: string;
  readonly actor: string;
  readonly after: string;
  readonly result: string;
}

/** A store that keeps audit records and nothing else. */
function book() {
  const written: Written[] = [];
  let broken = false;
  const tx = {
    async query(_text: string, params: readonly (readonly string[])[] = []) {
      const [actor, clusterId, organizationId, action, object, beforeJson, afterJson, result] = params.map(
        (each) => each[0] ?? "",
      ) as [string, string, string, string, string, string, string, string];
      written.push({ action, actor, after: afterJson, result });
      const place = { seq: written.length, atMs: 1, prevHash: new Uint8Array(32) };
      const texts = { actor, clusterId, organizationId, action, object, beforeJson, afterJson, result };
      return [{ ...place, hash: auditHash({ ...place, ...texts }) }];
    },
  };
  const sql = {
    driver: "pglite",
    tx: (fn: (tx: unknown) => unknown) => (broken ? Promise.reject(new Error("x")) : fn(tx)),
  };
  const clock = new ManualClock(1_700_000_000_000);
  const ctx = { sql: sql as unknown as Sql, clock, log: silentLog } as unknown as StoreContext;
  return {
    ...{ written, clock, ctx },
    breakIt(value: boolean) {
      broken = value;
    },
    rows: () => written.filter(({ action }) => action !== "refusals.counted").length,
  };
}

const refusal = { actor: "anonymous", action: "request.received", object: "token/-", result: "refused:X" } as const;
const stranger = (at: number) => callerKey(anonymousCaller(`198.51.${at >> 8}.${at & 255}`, "join", "cl-1"));
const known = (at: number) => ({ key: `spiffe://x/cluster/installation/operator/op-${at}`, known: true });

describe("M-A9 refusals in the audit log", () => {
  it("a flood from everywhere grows the log by the stated bound, and the rest is counted", async () => {
    const { ctx, clock, rows, written } = book();
    const ledger = new RefusalLedger(ctx);
    const floodSeconds = 120;
    let refused = 0;
    for (let second = 0; second < floodSeconds; second += 1) {
      for (let at = 0; at < 200; at += 1) {
        await ledger.record(refusal, stranger(second * 200 + at));
        refused += 1;
      }
      clock.advance(1_000);
      if (second % 60 === 59) await ledger.count();
    }
    const most = limits.refusalsOfStrangersBurstCount + floodSeconds * limits.refusalsOfStrangersPerSecond;
    expect(rows()).toBeGreaterThanOrEqual(most - 2);
    expect(rows()).toBeLessThanOrEqual(most + 1);
    const counts = written.filter(({ action }) => action === "refusals.counted").map(({ after }) => JSON.parse(after));
    expect(counts).toHaveLength(2);
    expect(counts.reduce((sum: number, each: { strangers: number }) => sum + each.strangers, rows())).toBe(refused);
    // Strangers use up nothing of what known callers have.
    for (let at = 0; at < 20; at += 1) await ledger.record(refusal, known(at));
    expect(rows()).toBeGreaterThan(most + 15);
  });

  it("one caller cannot use up what all have, and is heard again later", async () => {
    const { ctx, clock, rows } = book();
    const ledger = new RefusalLedger(ctx);
    for (let at = 0; at < 5_000; at += 1) await ledger.record(refusal, known(1));
    expect(rows()).toBe(limits.refusalsRecordedBurstCount);
    await ledger.record(refusal, known(2));
    expect(rows()).toBe(limits.refusalsRecordedBurstCount + 1);
    clock.advance(1_000);
    await ledger.record(refusal, known(1));
    expect(rows()).toBe(limits.refusalsRecordedBurstCount + 2);
  });

  it("counts on when the count cannot be written, and writes nothing when there is nothing to count", async () => {
    const { ctx, breakIt, written } = book();
    const ledger = new RefusalLedger(ctx);
    await ledger.count();
    expect(written).toEqual([]);
    for (let at = 0; at < limits.refusalsRecordedBurstCount + 7; at += 1) await ledger.record(refusal, known(1));
    breakIt(true);
    await ledger.count();
    breakIt(false);
    await ledger.count();
    expect(written.at(-1)).toMatchObject({ action: "refusals.counted", after: '{"known":7,"strangers":0}' });
  });

  const caller: Caller = {
    kind: "operator",
    spiffe: "spiffe://x/cluster/installation/operator/op-1",
    sourceAddress: "192.0.2.1",
    arrivedBy: "operator-port",
  };

  /** What is in the log after a call that `refuse` answers. */
  async function recordsOf(refuse: (ctx: StoreContext) => Promise<never>): Promise<readonly Written[]> {
    const { ctx, written } = book();
    const transport = createRouterTransport((router) => router.rpc(TokenService.method.listTokens, () => refuse(ctx)), {
      router: {
        interceptors: [
          (next) => (req) => {
            req.contextValues.set(kCaller, caller);
            return next(req);
          },
          errorInterceptor,
          refusalInterceptor(controlPolicy, refusalRecorder(ctx)),
        ],
      },
    });
    await expect(rpcClient(TokenService, transport).listTokens({})).rejects.toBeInstanceOf(WeftError);
    return written;
  }

  const failing =
    (reason: WeftError["reason"], options: WeftErrorOptions = {}) =>
    () =>
      Promise.reject(new WeftError(reason, "no", { detail: "NO", ...options }));

  it("a handler's refusal is one record, its own where it makes one", async () => {
    const plain = await recordsOf(failing("not_found"));
    expect(plain).toMatchObject([{ action: "rpc.refused", actor: caller.spiffe, result: "refused:NO" }]);
    expect(await recordsOf(failing("invalid_argument"))).toHaveLength(1);
    const entry = { actor: caller.spiffe, action: "token.listed", object: "token/x" };
    const described = await recordsOf((ctx) => recordingRefusal(ctx, entry, failing("permission_denied")));
    expect(described).toMatchObject([{ action: "token.listed", result: "refused:NO" }]);
  });

  it('"not now" and a failure of ours are no refusals', async () => {
    expect(await recordsOf(failing("unavailable"))).toEqual([]);
    expect(await recordsOf(failing("aborted"))).toEqual([]);
    expect(await recordsOf(failing("internal"))).toEqual([]);
    expect(await recordsOf(failing("failed_precondition", { retry: "later" }))).toEqual([]);
  });
});
