/** What doctor makes of facts: every mistake is named with a fix, nothing else is. */

import { describe, expect, it } from "vitest";
import { type Facts, noFacts, together } from "../../../../cli/doctor/facts.ts";
import { type CheckName, diagnose, judgements } from "../../../../cli/doctor/judgements.ts";
import { MiB } from "../../../../lib/limits.ts";

const hourMs = 3_600_000;
const port = { what: "public port", setting: "publicPort", host: "127.0.0.1", port: 7_400 } as const;
const secret = { what: "sealing key", path: "/k" } as const;
const dial = { address: "c:1", usedBy: "node.json" } as const;
const toEntry = { address: "e:1", usedBy: "laptop", peer: "entry" } as const;
const disk = { what: "state folder", path: "/s", freeBytes: 900 * MiB } as const;
const snapshot = { node: "entry-1", path: "/s/snapshot.bin", ageMs: hourMs, restMs: 20 * hourMs } as const;
const leaf = { whose: "operator op", path: "/c", notBeforeMs: 0, notAfterMs: 10, nowMs: 5, fix: "renew" } as const;
const own = (min: number, max: number) => ({ whose: "control", own: true, aheadMs: { min, max } });

/** Of each check, facts that are as they should be and facts that are not, with what the finding must say. */
const table: Readonly<
  Record<
    CheckName,
    { readonly fine: Partial<Facts>; readonly wrong: readonly (readonly [Partial<Facts>, RegExp, RegExp])[] }
  >
> = {
  configuration: {
    fine: { configurations: [{ file: "/f", problems: [] }] },
    wrong: [[{ configurations: [{ file: "/f", problems: ["stateDir: missing"] }] }, /stateDir/, /weft config check/]],
  },
  "name-resolution": {
    fine: { names: [{ host: "c", usedBy: "f" }] },
    wrong: [[{ names: [{ host: "c", usedBy: "f", code: "ENOTFOUND" }] }, /c does not resolve \(ENOTFOUND\)/, /DNS/]],
  },
  "control-unreachable": {
    fine: { dials: [{ ...dial, outcome: "answered" }] },
    wrong: [[{ dials: [{ ...dial, outcome: "no-answer", why: "ECONNREFUSED" }] }, /ECONNREFUSED/, /weft control run/]],
  },
  "entry-unreachable": {
    fine: { dials: [{ ...toEntry, outcome: "answered" }] },
    wrong: [
      [{ dials: [{ ...toEntry, outcome: "no-answer", why: "ECONNREFUSED" }] }, /no entry .*ECONNREFUSED/, /--entry/],
    ],
  },
  "ca-mismatch": {
    fine: { dials: [{ ...dial, outcome: "answered" }] },
    wrong: [
      [{ dials: [{ ...toEntry, outcome: "unknown-root" }] }, /CA that is not known here/, /weft identity trust/],
      [{ dials: [{ ...dial, outcome: "unknown-root" }] }, /CA that is not known here/, /join again/],
      [{ dials: [{ ...dial, outcome: "other-identity", why: "PEER_WRONG_KIND" }] }, /somebody else/, /public port/],
    ],
  },
  certificate: {
    fine: { certificates: [leaf] },
    wrong: [
      [{ certificates: [{ ...leaf, nowMs: 60_010 }] }, /ran out 60 s ago/, /^renew$/],
      [
        { certificates: [leaf], dials: [{ ...dial, outcome: "refused" }] },
        /control does not take the certificate/,
        /right port.*weft cert list/,
      ],
      [
        { dials: [{ ...toEntry, outcome: "refused" }] },
        /entry does not take the certificate/,
        /weft identity add client/,
      ],
    ],
  },
  clock: {
    // A date is cut to a second: up to there nothing can be said.
    fine: {
      clocks: [own(-900, 2_900), own(-2_900, 0), { whose: "n", own: false, aheadMs: { min: 1_900, max: 1_900 } }],
    },
    wrong: [
      [{ clocks: [own(60_000, 61_000)] }, /this host, against control, is 60 s ahead/, /time service/],
      [{ clocks: [own(-61_000, -60_000)] }, /60 s behind/, /time service/],
      [
        { clocks: [{ whose: "node x", own: false, aheadMs: { min: -7_300_000, max: -7_300_000 } }] },
        /node x is 2 h behind/,
        /on that host/,
      ],
      [{ dials: [{ ...dial, outcome: "dates" }] }, /not valid yet, or not any more/, /date -u/],
      [{ certificates: [{ ...leaf, notBeforeMs: 125_000 }] }, /begins in 2 min/, /time service/],
    ],
  },
  "key-permissions": {
    fine: { secrets: [{ ...secret, state: "fine", mode: "0600" }] },
    wrong: [
      [{ secrets: [{ ...secret, state: "mode", mode: "0644" }] }, /mode 0644/, /^chmod 600 \/k$/],
      [{ secrets: [{ ...secret, state: "owner" }] }, /another user/, /chown/],
      [{ secrets: [{ ...secret, state: "missing" }] }, /does not exist/, /restore/],
      [{ secrets: [{ ...secret, state: "no-file" }] }, /link/, /0600/],
      [{ secrets: [{ ...secret, state: "unreadable" }] }, /cannot be looked at/, /as the user/],
    ],
  },
  ports: {
    fine: {
      ports: [
        { ...port, state: "free" },
        { ...port, state: "weft", holder: "p" },
        { ...port, state: "unseen" },
      ],
    },
    wrong: [
      [
        { ports: [{ ...port, state: "taken", holder: "process 7 (nginx)" }] },
        /process 7 \(nginx\)/,
        /another publicPort/,
      ],
      [{ ports: [{ ...port, state: "forbidden" }] }, /may not bind/, /1024/],
      [{ ports: [{ ...port, state: "no-address" }] }, /no address of this host/, /0\.0\.0\.0/],
    ],
  },
  disk: {
    fine: { disks: [disk, { ...disk, freeFiles: 10_000 }] },
    wrong: [
      [{ disks: [{ ...disk, freeBytes: 0, writeCode: "ENOSPC" }] }, /is full: 0 MiB free.*ENOSPC/, /make room/],
      [{ disks: [{ ...disk, freeBytes: 10 * MiB }] }, /nearly full: 10 MiB/, /make room/],
      [{ disks: [{ ...disk, freeFiles: 3 }] }, /nearly full/, /make room/],
      [{ disks: [{ ...disk, writeCode: "EROFS" }] }, /read-only/, /remount/],
      [{ disks: [{ ...disk, writeCode: "EACCES" }] }, /may not be written/, /chown/],
      [{ disks: [{ ...disk, writeCode: "EIO" }] }, /cannot be written \(EIO\)/, /look/],
    ],
  },
  "store-version": {
    fine: { stores: [{ where: "s", found: 22, expected: 22, moved: "", primary: true }] },
    wrong: [
      [{ stores: [{ where: "s", found: 20, expected: 22 }] }, /is 20, and this program's is 22/, /weft db rehearse/],
      [{ stores: [{ where: "s", found: 23, expected: 22 }] }, /newer than this program's/, /install/],
      [{ stores: [{ where: "s", found: 22, expected: 22, moved: "departed: x" }] }, /departed: x/, /moved to/],
      [{ stores: [{ where: "s", found: 22, expected: 22, primary: false }] }, /standby/, /primary/],
      [{ stores: [{ where: "s", problem: "cannot be reached" }] }, /cannot be reached/, /weft db status/],
    ],
  },
  "old-snapshot": {
    fine: { snapshots: [snapshot] },
    wrong: [
      [{ snapshots: [{ ...snapshot, ageMs: 5 * hourMs }] }, /5 h old/, /running/],
      [{ snapshots: [{ ...snapshot, restMs: -1 }] }, /run out/, /start the agent/],
      [
        { snapshots: [{ ...snapshot, fault: { code: "SNAPSHOT_OLDER", why: "held 3.4" } }] },
        /held 3\.4/,
        /do not restore/,
      ],
      [
        { snapshots: [{ ...snapshot, fault: { code: "SNAPSHOT_SIGNATURE", why: "bytes" } }] },
        /bytes/,
        /start the agent/,
      ],
    ],
  },
  "wrong-role": {
    fine: { roles: [{ node: "n", role: "entry", state: "fine", because: "" }] },
    wrong: [
      [
        { roles: [{ node: "n", role: "entry", state: "ceiling", because: "node.json" }] },
        /ceiling in node\.json/,
        /ceiling\.roles/,
      ],
      [
        { roles: [{ node: "n", role: "egress", state: "missing", because: "pool p" }] },
        /pool p/,
        /weft role assign n egress/,
      ],
      [{ roles: [{ node: "n", role: "", state: "none", because: "" }] }, /no role/, /weft role assign n/],
    ],
  },
};

const checks = Object.keys(judgements) as CheckName[];

describe.each(checks)("M-F12 doctor: %s", (check) => {
  it("says nothing about what is as it should be, nor about what nobody looked at", () => {
    const fine = diagnose(together([table[check].fine])).checks.find((each) => each.check === check);
    expect(fine).toMatchObject({ state: "ok", findings: [] });
    const none = diagnose(noFacts).checks.find((each) => each.check === check);
    expect(none).toMatchObject({ state: "not looked at", findings: [] });
  });

  it.each(table[check].wrong)("names the mistake and the fix: %o", (facts, problem, fix) => {
    const { ok, checks: judged } = diagnose(together([facts]));
    expect(ok).toBe(false);
    // One cause is told once, and by one check.
    const [found, ...others] = judged.filter(({ findings }) => findings.length > 0);
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      ...{ check, state: "problem" },
      findings: [{ problem: expect.stringMatching(problem), fix: expect.stringMatching(fix) }],
    });
  });
});

it.each([
  { outcome: "no-answer", why: "ETIMEDOUT" },
  { outcome: "dates", why: "CERT_HAS_EXPIRED" },
] as const)("M-F12 doctor: nobody is found to be of the right CA who was not judged: $outcome", (dialed) => {
  const { checks: judged } = diagnose(together([{ dials: [{ ...dial, ...dialed }] }]));
  expect(judged.find(({ check }) => check === "ca-mismatch")).toMatchObject({ state: "not looked at", looked: 0 });
});

it("M-F12 doctor: one mistake does not hide another", () => {
  const all = checks.flatMap((check) => table[check].wrong[0]?.[0] ?? []);
  const { checks: judged } = diagnose(together(all));
  expect(judged.filter(({ state }) => state === "problem").map(({ check }) => check)).toEqual(checks);
});
