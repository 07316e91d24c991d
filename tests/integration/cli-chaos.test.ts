/** `weft up --chaos` as a process: every fault leaves the transfer whole, and the command says so. */

import { describe, expect, it } from "vitest";
import type { ChaosRound, ChaosSummary } from "../../cli/up/chaos.ts";
import { fabricWithinMs, repository, run } from "../harness/fabric.ts";

describe("weft up --chaos", () => {
  it(
    "LAW-T1 LAW-T2 kills, freezes and drains the relay in use; every byte comes back, on one connection",
    async () => {
      const args = ["up", "--chaos", "5s", "--rounds", "3", "--json"];
      const { code, stdout, stderr } = await run(process.execPath, [`${repository}/cli/bin.ts`, ...args], {
        withinMs: fabricWithinMs * 2,
      });
      const lines = stdout.trimEnd().split("\n");
      const rounds = lines.slice(0, -1).map((line): ChaosRound => JSON.parse(line));
      const summary: ChaosSummary = JSON.parse(lines.at(-1) ?? "{}");
      expect(
        rounds.map(({ fault }) => fault),
        stderr,
      ).toEqual(["kill", "freeze", "drain"]);
      for (const round of rounds) {
        expect(round).toMatchObject({ ok: true, node: expect.stringMatching(/^relay-\d$/) });
        expect(round.from).toContain(round.node);
        expect(round.to).not.toContain(round.node);
        expect(round.bytes_verified).toBeGreaterThan(0);
      }
      // A spare that was not there yet when the relay died is opened then.
      const [killed, ...others] = rounds.map(({ cause }) => cause);
      expect(["lost", "resumed"]).toContain(killed);
      expect(others).toEqual(["silent", "draining"]);
      expect(summary).toMatchObject({ summary: true, ok: true, rounds_ok: 3, connections_lost: 0, sha256_equal: true });
      expect(code).toBe(0);
    },
    fabricWithinMs * 2,
  );

  it.each([
    [["--chaos", "1s"], "at least 2s"],
    [["--rounds", "3"], "--chaos"],
    [["--chaos", "5s", "--smoke"], "give one"],
  ])("%j is wrong use", async (args, why) => {
    const { code, stderr } = await run(process.execPath, [`${repository}/cli/bin.ts`, "up", ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(why);
  });
});
