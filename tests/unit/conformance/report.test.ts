import { describe, expect, it } from "vitest";
import { type Check, type Outcome, refused, runCheck, Skipped } from "../../../conformance/check.ts";
import { routingChecks } from "../../../conformance/core/routing-checks.ts";
import { trustCoreChecks } from "../../../conformance/core/trust-core-checks.ts";
import { formats, render, reportOf } from "../../../conformance/report.ts";
import { WeftError } from "../../../lib/errors.ts";

const stores = { pglite: "18.3", postgres: ["15.14", "18.4"], redis: "7.0.15" };
const going = new AbortController().signal;

function check(run: Check<void>["run"], withinMs?: number): Promise<Outcome> {
  return runCheck(
    { id: "X.one", law: "LAW-X", title: "one", run, ...(withinMs === undefined ? {} : { withinMs }) },
    undefined,
    going,
  );
}

describe("M-W17 a check", () => {
  it("passes with its figure, fails with what it saw, and says what it could not try", async () => {
    expect(await check(() => "3 of 3")).toMatchObject({ result: "pass", figure: "3 of 3" });
    const failed = await check(() => Promise.reject(new Error("two\n holders")));
    expect(failed).toMatchObject({ result: "fail", figure: "two holders" });
    const skipped = await check(() => {
      throw new Skipped("no Redis is installed");
    });
    expect(skipped).toMatchObject({ result: "skip", figure: "no Redis is installed" });
  });

  it("that does not end has failed", async () => {
    expect(await check(() => new Promise<string>(() => {}), 20)).toMatchObject({
      result: "fail",
      figure: "not done after 0.02 s",
    });
  });

  it("that is interrupted has failed", async () => {
    const outcome = await runCheck(
      { id: "X.one", law: "LAW-X", title: "one", run: () => new Promise<string>(() => {}) },
      undefined,
      AbortSignal.abort(),
    );
    expect(outcome.result).toBe("fail");
  });

  it("takes no other failure for the refusal it asks for", async () => {
    const no = (): Promise<never> => Promise.reject(new WeftError("permission_denied", "no", { detail: "NOT_YOU" }));
    expect(await refused(no(), /NOT_YOU/)).toContain("permission_denied");
    await expect(refused(no(), /UNAVAILABLE/)).rejects.toThrow("refused otherwise");
    await expect(refused(Promise.resolve(), /NOT_YOU/)).rejects.toThrow("not refused");
  });
});

describe("M-W17 the report", () => {
  const outcome = (result: Outcome["result"]): Outcome => ({
    id: `X.${result}`,
    law: "LAW-X",
    title: "a | b",
    result,
    figure: "1",
  });

  it("is ok when something passed and nothing failed", () => {
    expect(reportOf(stores, [outcome("pass"), outcome("skip")])).toMatchObject({ ok: true, passed: 1, failed: 0 });
    expect(reportOf(stores, [outcome("pass"), outcome("fail")])).toMatchObject({ ok: false, passed: 1, failed: 1 });
    expect(reportOf(stores, [outcome("skip")]).ok).toBe(false);
  });

  it("is one JSON object on one line, with id, law, result and figure of every check", () => {
    const text = render(reportOf(stores, [outcome("pass"), outcome("fail")]), "json");
    expect(text).not.toContain("\n");
    expect(JSON.parse(text)).toEqual({
      ok: false,
      stores,
      checks: [
        { id: "X.pass", law: "LAW-X", result: "pass", figure: "1" },
        { id: "X.fail", law: "LAW-X", result: "fail", figure: "1" },
      ],
      passed: 1,
      failed: 1,
    });
  });

  it("names every check and the verdict in every format", () => {
    const report = reportOf(stores, [outcome("pass"), outcome("fail")]);
    for (const format of formats) expect(render(report, format)).toContain("X.fail");
    expect(render(report, "text")).toContain("does NOT conform: 1 passed, 1 failed, 0 skipped");
    expect(render(report, "markdown")).toContain("| a \\| b |");
  });
});

describe("M-W17 the checks of the pure core", () => {
  it.each([...routingChecks, ...trustCoreChecks].map((each) => [each.id, each] as const))(
    "%s passes",
    async (_id, each) => {
      expect(await runCheck(each, undefined, going)).toMatchObject({ result: "pass" });
    },
  );
});
