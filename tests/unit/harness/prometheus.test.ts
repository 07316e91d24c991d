import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { repository } from "../../harness/fabric.ts";
import { hastened } from "../../harness/prometheus.ts";

const shipped = readFileSync(join(repository, "deploy/alerts.yaml"), "utf8");
const durations = /(^\s+for: |\[)\d+(?:ms|s|m)(?=\]|$)/gm;

describe("hastened rules", () => {
  const hasty = hastened(shipped, { forBy: 240, windowBy: 20 });

  it("differ from what is shipped in the durations of `for:` and of ranges only", () => {
    expect(hasty.replace(durations, "$1")).toBe(shipped.replace(durations, "$1"));
    expect(hasty).not.toBe(shipped);
  });

  it("have every one of these durations shortened by what was asked for", () => {
    const found = shipped.match(durations) ?? [];
    expect(found.length).toBe((shipped.match(/^\s+for:|\[\d/gm) ?? []).length);
    expect(hasty.match(/(?:for: |\[)\d+ms/g)).toHaveLength(found.length);
    expect(hastened("    for: 10m\nx[5m] + y[30s]\n", { forBy: 10, windowBy: 2 })).toBe(
      "    for: 60000ms\nx[150000ms] + y[15000ms]\n",
    );
  });
});
