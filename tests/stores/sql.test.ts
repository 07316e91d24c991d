import { expect, it } from "vitest";
import { isUniqueViolation, sqlState } from "../../control/store/sql.ts";
import { WeftError } from "../../lib/errors.ts";
import { describeEveryStore } from "./stores.ts";

describeEveryStore("the Sql port", (store) => {
  it("gives int8 as numbers, bytea as Uint8Array, jsonb parsed, arrays and booleans, whatever the driver", async () => {
    const sql = await store.empty();
    const [row] = await sql.query(
      `select $1::bigint as int8, $2::bytea as bytea, $3::jsonb as json, $4::text[] as texts, $5::boolean as yes,
       $6::double precision as float, null::bigint as nothing, $7::text as text, $8::bigint as big`,
      [5, new Uint8Array([0, 1, 255]), JSON.stringify([{ a: '"' }]), ["x", 'y,"z"', ""], true, 0.25, "ü", 2n ** 52n],
    );
    expect(row).toEqual({
      int8: 5,
      bytea: new Uint8Array([0, 1, 255]),
      json: [{ a: '"' }],
      texts: ["x", 'y,"z"', ""],
      yes: true,
      float: 0.25,
      nothing: null,
      text: "ü",
      big: 2 ** 52,
    });
    expect((row as { bytea: Uint8Array }).bytea.constructor).toBe(Uint8Array);
  });

  it("refuses an integer that a number cannot hold instead of rounding it", async () => {
    const sql = await store.empty();
    await expect(sql.query("select 9007199254740993::bigint as big")).rejects.toThrow(/2\^53/);
    expect(await sql.query("select 1 as still")).toEqual([{ still: 1 }]);
  });

  it("commits all of a transaction or nothing, and gives hints only for what was committed", async () => {
    const sql = await store.empty();
    await sql.script("create table t (n int primary key); create table u (n int)");
    const hints: string[] = [];
    const failed = sql.tx(async (tx) => {
      tx.afterCommit(() => hints.push("failed"));
      await tx.query("insert into t values (1)");
      throw new WeftError("failed_precondition", "no");
    });
    await expect(failed).rejects.toMatchObject({ reason: "failed_precondition" });
    await sql.tx(async (tx) => {
      tx.afterCommit(() => hints.push("done"));
      await tx.query("insert into t values (2)");
      expect(hints).toEqual([]);
    });
    expect(await sql.query("select n from t")).toEqual([{ n: 2 }]);
    expect(hints).toEqual(["done"]);
  });

  it("does not report a transaction as committed when a statement in it failed and was swallowed", async () => {
    const sql = await store.empty();
    await sql.script("create table t (n int primary key)");
    const swallowed = sql.tx(async (tx) => {
      await tx.query("insert into t values (1)");
      await tx.query("insert into t values (1)").catch(() => undefined);
      return "done";
    });
    await expect(swallowed).rejects.toThrow();
    expect(await sql.query("select n from t")).toEqual([]);
  });

  it("names the unique index that refused a row", async () => {
    const sql = await store.empty();
    await sql.script("create table t (n int constraint t_once unique)");
    await sql.query("insert into t values (1)");
    const error: unknown = await sql.query("insert into t values (1)").catch((thrown: unknown) => thrown);
    expect(isUniqueViolation(error)).toBe(true);
    expect(isUniqueViolation(error, "t_once")).toBe(true);
    expect(isUniqueViolation(error, "other")).toBe(false);
    expect(sqlState(error)).toBe("23505");
  });

  it("notices a statement that goes past its transaction", async () => {
    const sql = await store.empty();
    const past = sql.tx(async () => await sql.query("select 1"));
    await expect(past).rejects.toThrow(/past the transaction/);
    const nested = sql.tx(async () => await sql.tx(async () => 1));
    await expect(nested).rejects.toThrow(/past the transaction/);
    expect(await sql.query("select 1 as n")).toEqual([{ n: 1 }]);
  });

  it("runs a transaction again after a serialization failure or deadlock, and gives up with a reason", async () => {
    const sql = await store.empty();
    let attempts = 0;
    const result = await sql.tx(async (tx) => {
      attempts += 1;
      if (attempts < 3) await tx.query("do $$ begin raise exception using errcode = '40001'; end $$");
      return attempts;
    });
    expect(result).toBe(3);
    const hopeless = sql.tx((tx) => tx.query("do $$ begin raise exception using errcode = '40P01'; end $$"));
    await expect(hopeless).rejects.toMatchObject({ reason: "aborted", detail: "STORE_CONFLICT", retry: "now" });
  });

  it("keeps the isolation it was asked for", async () => {
    const sql = await store.empty();
    for (const mode of ["read committed", "repeatable read", "serializable"] as const) {
      const level = await sql.tx((tx) => tx.query("show transaction_isolation"), { mode });
      expect(level).toEqual([{ transaction_isolation: mode }]);
    }
    await sql.script("create table t (n int)");
    const written = sql.tx((tx) => tx.query("insert into t values (1)"), { mode: "read only" });
    await expect(written).rejects.toMatchObject({ reason: "unavailable", detail: "STORE_NOT_PRIMARY" });
  });

  it("refuses texts that cannot be stored as a caller's mistake", async () => {
    const sql = await store.empty();
    await expect(sql.query("select $1::text as t", ["a\0b"])).rejects.toMatchObject({ reason: "invalid_argument" });
  });
});
