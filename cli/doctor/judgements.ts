/**
 * What facts mean: a total table of pure judgements, one per mistake. Each sees all facts, says how many of them it looked at,
 * and names every mistake with what to do about it.
 *
 * DJ1. A fact that could not be had is no finding: what nobody looked at is said to be so.
 * DJ2. One cause is told once: a name that does not resolve is no control that cannot be reached.
 */

import { limits, MiB } from "../../lib/limits.ts";
import type { Facts } from "./facts.ts";

export interface Finding {
  /** What it is about. */
  readonly about: string;
  readonly problem: string;
  readonly fix: string;
}

export interface Judged {
  /** Facts that were looked at. */
  readonly looked: number;
  readonly findings: readonly Finding[];
}

/** Less than this, and the next certificate, snapshot or audit record may be the one that has no room. */
const diskFreeMinBytes = 32 * MiB;
const diskFreeFilesMinCount = 64;
/** Snapshots are renewed every hour: two that were missed are no accident. */
const snapshotOldMs = 3 * limits.snapshotRefreshMs;

/** Judges each fact of a list by itself. */
function each<Fact>(facts: readonly Fact[], judge: (fact: Fact) => Finding | undefined): Judged {
  return { looked: facts.length, findings: facts.flatMap((fact) => judge(fact) ?? []) };
}

function seconds(ms: number): string {
  const value = Math.abs(ms) / 1_000;
  if (value < 120) return `${value.toFixed(0)} s`;
  if (value < 7_200) return `${Math.round(value / 60)} min`;
  return value < 172_800 ? `${Math.round(value / 3_600)} h` : `${Math.round(value / 86_400)} days`;
}

const setClock = "let a time service set the clock (timedatectl set-ntp true, chronyc tracking)";

function clock({ clocks, dials, certificates }: Facts): Judged {
  const compared = each(clocks, ({ whose, own, aheadMs: { min, max } }) => {
    const off = min > limits.clockSkewAlertMs ? min : max < -limits.clockSkewAlertMs ? max : undefined;
    if (off === undefined) return undefined;
    const where = own ? `the clock of this host, against ${whose},` : `the clock of ${whose}`;
    return {
      about: own ? "this host" : whose,
      problem: `${where} is ${seconds(off)} ${off > 0 ? "ahead" : "behind"}: certificates, leases and snapshots are judged by it`,
      fix: own ? setClock : `on that host: ${setClock}`,
    };
  });
  const dated = each(dials, ({ outcome, address }) =>
    outcome === "dates" && compared.findings.length === 0
      ? {
          about: address,
          problem: "by the clock of this host the certificate shown there is not valid yet, or not any more",
          fix: `compare this host's time (date -u) with control's; ${setClock}`,
        }
      : undefined,
  );
  const early = each(certificates, ({ whose, path, notBeforeMs, nowMs }) =>
    notBeforeMs > nowMs
      ? {
          about: whose,
          problem: `by the clock of this host its certificate (${path}) begins in ${seconds(notBeforeMs - nowMs)}`,
          fix: setClock,
        }
      : undefined,
  );
  return { looked: clocks.length, findings: [...compared.findings, ...dated.findings, ...early.findings] };
}

function ports({ ports: facts }: Facts): Judged {
  return each(facts, ({ what, setting, host, port, state, holder }) => {
    const about = `${what}, ${host}:${port}`;
    switch (state) {
      case "free":
      case "weft":
      case "unseen":
        return undefined;
      case "taken":
        return {
          about,
          problem: `${holder ?? "another program"} listens there: Weft cannot`,
          fix: `end that program, or choose another ${setting} (and the same address wherever it is named)`,
        };
      case "forbidden":
        return {
          about,
          problem: "this user may not bind it",
          fix: `choose a ${setting} from 1024 on, or let the program bind low ports (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)`,
        };
      case "no-address":
        return {
          about,
          problem: `${host} is no address of this host`,
          fix: `bind an address that "ip address" shows, or 0.0.0.0, and advertise the other one`,
        };
    }
  });
}

function keyPermissions({ secrets }: Facts): Judged {
  return each(secrets, ({ what, path, state, mode }) => {
    switch (state) {
      case "fine":
        return undefined;
      case "missing":
        return {
          about: what,
          problem: `${path} does not exist`,
          fix: "restore it, or correct the setting that names it",
        };
      case "mode":
        return { about: what, problem: `${path} has mode ${mode}: others can read it`, fix: `chmod 600 ${path}` };
      case "owner":
        return {
          about: what,
          problem: `${path} belongs to another user: Weft refuses to read it`,
          fix: `chown it to the user that runs Weft (chown USER ${path}), or run this as that user`,
        };
      case "no-file":
        return {
          about: what,
          problem: `${path} is a link or no plain file`,
          fix: `put the file itself there, mode 0600`,
        };
      case "unreadable":
        return { about: what, problem: `${path} cannot be looked at`, fix: "run this as the user that runs Weft" };
    }
  });
}

/** Of who does not answer nothing is known, nor of who shows a certificate whose dates are wrong: no further is it judged. */
function caMismatch({ dials }: Facts): Judged {
  const answers = dials.filter(({ outcome }) => outcome !== "no-answer" && outcome !== "dates");
  return each(answers, ({ address, usedBy, peer, outcome, why }) => {
    if (outcome !== "unknown-root" && outcome !== "other-identity") return undefined;
    const isRoot = outcome === "unknown-root";
    return {
      about: `${usedBy}, ${address}`,
      problem: isRoot
        ? "who answers there shows a certificate of a CA that is not known here: another installation or cluster, or roots that were replaced meanwhile"
        : `who answers there is somebody else than is expected (${why ?? "judged"})`,
      fix:
        peer === "entry"
          ? 'is it the right address? After a rotation of roots: weft identity trust DIR; else an operator makes a new folder ("weft identity add client")'
          : isRoot
            ? 'is it the right address? If control was made anew: join again, or have an operator make a new context ("weft identity add operator"); after a rotation: start the agent, or "weft cluster list --refresh"'
            : "correct the address: a node needs control's public port, an operator its operator port",
    };
  });
}

function wrongRole({ roles }: Facts): Judged {
  return each(roles, ({ node, role, state, because }) => {
    switch (state) {
      case "fine":
        return undefined;
      case "ceiling":
        return {
          about: node,
          problem: `control gives it the role ${role}, and the ceiling in ${because} does not allow that`,
          fix: `add "${role}" to ceiling.roles there and restart the agent, or take the role away: weft role remove ${node} ${role}`,
        };
      case "missing":
        return {
          about: node,
          problem: `${because}, and it does not have the role ${role}`,
          fix: `weft role assign ${node} ${role}, or place that at a node that has it`,
        };
      case "none":
        return {
          about: node,
          problem: "it has no role: it does nothing",
          fix: `weft role assign ${node} relay (or entry, egress)`,
        };
    }
  });
}

const of = (dials: Facts["dials"], peer: "entry" | undefined): Facts["dials"] =>
  dials.filter((dial) => dial.peer === peer);

function entryUnreachable({ dials }: Facts): Judged {
  return each(of(dials, "entry"), ({ address, usedBy, outcome, why }) =>
    outcome === "no-answer"
      ? {
          about: `${usedBy}, ${address}`,
          problem: `no entry answers there${why === undefined ? "" : ` (${why})`}`,
          fix: "is the entry running, and is that its public port? weft node list shows addresses; --entry names others",
        }
      : undefined,
  );
}

function controlUnreachable({ dials }: Facts): Judged {
  return each(of(dials, undefined), ({ address, usedBy, outcome, why }) =>
    outcome === "no-answer"
      ? {
          about: `${usedBy}, ${address}`,
          problem: `control does not answer there${why === undefined ? "" : ` (${why})`}`,
          fix: 'is "weft control run" running, does it listen there (publicHost, publicPort, operatorPort), and does a firewall let it through?',
        }
      : undefined,
  );
}

function oldSnapshot({ snapshots }: Facts): Judged {
  return each(snapshots, ({ node, path, ageMs, restMs, fault }) => {
    if (fault?.code === "SNAPSHOT_OLDER")
      return {
        about: node,
        problem: `${path} is older than one it held before: ${fault.why}`,
        fix: "start the agent and let it reach control, which sends the newest; do not restore state folders",
      };
    if (fault !== undefined || restMs <= 0)
      return {
        about: node,
        problem: `${path} is not acted on: ${fault?.why ?? "it has run out"}`,
        fix: "start the agent and let it reach control, which sends a new one (weft snapshot show tells more)",
      };
    if (ageMs <= snapshotOldMs) return undefined;
    return {
      about: node,
      problem: `${path} is ${seconds(ageMs)} old, and would be renewed every ${seconds(limits.snapshotRefreshMs)}: it ends in ${seconds(restMs)}`,
      fix: "is the agent running, and can it reach control? (its log says what it waits for)",
    };
  });
}

function disk({ disks }: Facts): Judged {
  return each(disks, ({ path, what, freeBytes, freeFiles, writeCode }) => {
    if (writeCode === "EROFS")
      return { about: what, problem: `${path} is mounted read-only`, fix: "mount it writable (mount -o remount,rw)" };
    if (writeCode === "EACCES" || writeCode === "EPERM")
      return {
        about: what,
        problem: `${path} may not be written by this user`,
        fix: "chown it to the user that runs Weft",
      };
    const isFull = writeCode === "ENOSPC" || writeCode === "EDQUOT";
    if (isFull || freeBytes < diskFreeMinBytes || (freeFiles ?? diskFreeFilesMinCount) < diskFreeFilesMinCount)
      return {
        about: what,
        problem: `the disk of ${path} is ${isFull ? "full" : "nearly full"}: ${Math.floor(freeBytes / MiB)} MiB free${isFull ? `, and a file could not be written (${writeCode})` : ""}`,
        fix: "make room there, or move the folder to a larger disk (stop Weft first)",
      };
    if (writeCode === undefined) return undefined;
    return { about: what, problem: `${path} cannot be written (${writeCode})`, fix: "look at the folder and its disk" };
  });
}

function storeVersion({ stores }: Facts): Judged {
  return each(stores, ({ where, found, expected, moved, primary, problem }) => {
    if (problem !== undefined)
      return { about: where, problem, fix: "correct dataDir or the URL in postgresUrlFile; weft db status tells more" };
    if (moved !== undefined && moved !== "")
      return {
        about: where,
        problem: `the store was moved (${moved})`,
        fix: "start control on the store it was moved to",
      };
    if (primary === false)
      return {
        about: where,
        problem: "the store is a standby: nothing can be changed",
        fix: "promote it, or name its primary",
      };
    if (found === undefined || expected === undefined || found === expected) return undefined;
    return found < expected
      ? {
          about: where,
          problem: `its schema is ${found}, and this program's is ${expected}: the first control that starts changes it`,
          fix: 'take a backup and try it first ("weft db backup", "weft db rehearse"), then start control',
        }
      : {
          about: where,
          problem: `its schema is ${found}, newer than this program's ${expected}: control refuses to start`,
          fix: "install the version that made it, or restore a backup from before",
        };
  });
}

function nameResolution({ names }: Facts): Judged {
  return each(names, ({ host, usedBy, code }) =>
    code === undefined
      ? undefined
      : {
          about: usedBy,
          problem: `${host} does not resolve (${code})`,
          fix: "correct the name, or make it known (DNS, /etc/hosts)",
        },
  );
}

function certificate({ certificates, dials }: Facts): Judged {
  const ended = each(certificates, ({ whose, path, notAfterMs, nowMs, fix }) =>
    notAfterMs <= nowMs
      ? { about: whose, problem: `its certificate (${path}) ran out ${seconds(nowMs - notAfterMs)} ago`, fix }
      : undefined,
  );
  const refused = each(dials, ({ address, usedBy, peer = "control", outcome }) =>
    outcome === "refused" && ended.findings.length === 0
      ? {
          about: `${usedBy}, ${address}`,
          problem: `${peer} does not take the certificate shown: revoked, replaced by a copy of this folder, or of another cluster`,
          fix:
            peer === "entry"
              ? "an operator finds it with weft cert list, and makes a new one: weft identity add client"
              : "is it the right port (a node's is control's public one, an operator's its operator port)? Else look for it with weft cert list as another operator; then join again, or have a new identity made",
        }
      : undefined,
  );
  return { looked: certificates.length, findings: [...ended.findings, ...refused.findings] };
}

function configuration({ configurations }: Facts): Judged {
  return {
    looked: configurations.length,
    findings: configurations.flatMap(({ file, problems }) =>
      problems.map((problem) => ({ about: file, problem, fix: "correct it; weft config check lists every problem" })),
    ),
  };
}

/** Every mistake doctor knows, in the order it tells them. */
export const judgements = {
  configuration,
  "name-resolution": nameResolution,
  "control-unreachable": controlUnreachable,
  "entry-unreachable": entryUnreachable,
  "ca-mismatch": caMismatch,
  certificate,
  clock,
  "key-permissions": keyPermissions,
  ports,
  disk,
  "store-version": storeVersion,
  "old-snapshot": oldSnapshot,
  "wrong-role": wrongRole,
} as const satisfies Readonly<Record<string, (facts: Facts) => Judged>>;

export type CheckName = keyof typeof judgements;

export interface CheckResult extends Judged {
  readonly check: CheckName;
  readonly state: "ok" | "problem" | "not looked at";
}

export interface Diagnosis {
  readonly ok: boolean;
  readonly checks: readonly CheckResult[];
}

/** Every judgement about the same facts. */
export function diagnose(facts: Facts): Diagnosis {
  const checks = Object.entries(judgements).map(([check, judge]) => {
    const judged = judge(facts);
    const state = judged.findings.length > 0 ? "problem" : judged.looked > 0 ? "ok" : "not looked at";
    return { check: check as CheckName, state, ...judged } as const;
  });
  return { ok: checks.every(({ state }) => state !== "problem"), checks };
}
