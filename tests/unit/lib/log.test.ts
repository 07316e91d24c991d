import { spawnSync } from "node:child_process";
import { describe, expect, expectTypeOf, it } from "vitest";
import { type Log, type LogFields, silentLog } from "../../../lib/log.ts";

const logUrl = new URL("../../../lib/log.ts", import.meta.url).href;

/** What a process that runs `body` with an open log wrote to its two outputs. */
function run(level: string, body: string): { out: string; lines: Record<string, unknown>[] } {
  const code = `import { openLog } from ${JSON.stringify(logUrl)}; const log = openLog({ level: ${JSON.stringify(level)}, process: "t" }); ${body}`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", code], {
    encoding: "utf8",
  });
  const lines = stderr
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { out: stdout, lines };
}

describe("the log", () => {
  it("takes fields of its vocabulary and no others: a secret has no name to slip in under", () => {
    type Fields = NonNullable<Parameters<Log["info"]>[1]>;
    expectTypeOf<Fields>().toEqualTypeOf<LogFields>();
    for (const secret of ["token", "key", "password", "path", "secret", "body", "headers", "certificate"] as const) {
      expectTypeOf<typeof secret extends keyof LogFields ? true : false>().toEqualTypeOf<false>();
    }
    // @ts-expect-error a field outside the vocabulary does not compile
    silentLog.info("m", { token: "t" });
    // @ts-expect-error nor in a child
    silentLog.child({ keyPem: "k" });
    expectTypeOf<Extract<LogFields[keyof LogFields], object>>().toEqualTypeOf<never>();
  });

  it("writes one JSON line per record to standard error, children carry their fields, standard output stays empty", () => {
    const { out, lines } = run(
      "info",
      'log.debug("no"); log.child({ sub: "egress" }).warn("yes", { count: 2 }); log.info("plain");',
    );
    expect(out).toBe("");
    expect(lines).toMatchObject([
      { msg: "yes", sub: "egress", count: 2, process: "t" },
      { msg: "plain", process: "t" },
    ]);
    expect(lines[1]).not.toHaveProperty("sub");
  });

  it("says nothing when silent", () => {
    expect(run("silent", 'log.error("no");').lines).toEqual([]);
    expect(silentLog.child({ sub: "x" })).toBe(silentLog);
  });
});
