/** What the ceiling of workloads looks up on this host: users, links, programs. */

import { readFileSync, realpathSync, statSync } from "node:fs";
import { platform, userInfo } from "node:os";
import type { HostUser, WorkloadHost } from "./ceiling.ts";

/** `name:x:uid:gid:…` of passwd(5). */
function usersIn(text: string): HostUser[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid, gid] = line.split(":");
    return name !== "" && /^\d+$/.test(uid ?? "") && /^\d+$/.test(gid ?? "")
      ? [{ name, uid: Number(uid), gid: Number(gid) }]
      : [];
  });
}

function selfUser(): HostUser {
  const [uid, gid] = [process.geteuid?.() ?? -1, process.getegid?.() ?? -1];
  try {
    return { name: userInfo().username, uid, gid };
  } catch {
    // A user without a name, as containers have them.
    return { name: String(uid), uid, gid };
  }
}

export function openWorkloadHost(): WorkloadHost {
  return {
    platform: platform(),
    self: selfUser(),
    user(name) {
      try {
        return usersIn(readFileSync("/etc/passwd", "utf8")).find((each) => each.name === name);
      } catch {
        return undefined;
      }
    },
    realPath(path) {
      try {
        return realpathSync(path);
      } catch {
        return undefined;
      }
    },
    isProgram(path) {
      try {
        const facts = statSync(path);
        return facts.isFile() && (facts.mode & 0o111) !== 0 && (facts.mode & 0o002) === 0;
      } catch {
        return false;
      }
    },
  };
}
