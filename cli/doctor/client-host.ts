/** What a client's folder shows: its files, its certificate, and whether the entries it names take it. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { tlsOptions } from "../../certs/tls-options.ts";
import {
  type ClientFolder,
  type ClientIdentity,
  clientIdentity,
  expectEntry,
  readClientFolder,
  renewedFile,
} from "../../client/identity.ts";
import { clientServerName } from "../../fabric/server-names.ts";
import type { Clock } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { hostPort } from "../arguments.ts";
import { type Callee, callAll } from "./dial.ts";
import { type Facts, noFacts, together } from "./facts.ts";
import { lookAtDisk, lookAtSecret } from "./files.ts";

/** Never throws: what cannot be had is a fact of its own, or none. */
export async function lookAtClientHost(dir: string, clock: Clock): Promise<Facts> {
  const renewed = join(dir, renewedFile);
  const files = {
    places: [{ kind: "client", at: dir }],
    secrets: [
      lookAtSecret("key of the client", join(dir, "client.key")),
      ...(existsSync(renewed) ? [lookAtSecret("renewed key of the client", renewed)] : []),
    ],
  } as const;
  let folder: ClientFolder;
  let identity: ClientIdentity;
  let callees: Callee[];
  try {
    folder = readClientFolder(dir);
    identity = clientIdentity(folder.pems);
    callees = calleesOf(dir, folder, identity, clock);
  } catch (thrown) {
    const isTold = thrown instanceof WeftError && thrown.detail.startsWith("KEY_FILE");
    return { ...noFacts, ...files, configurations: isTold ? [] : [{ file: dir, problems: [messageOf(thrown)] }] };
  }
  const { leaf } = identity;
  const certificate = {
    whose: `client ${identity.clientId}`,
    path: join(dir, "client.crt"),
    ...{ notBeforeMs: leaf.notBeforeMs, notAfterMs: leaf.notAfterMs, nowMs: clock.nowMs() },
    fix: 'an operator makes a new one ("weft identity add client"); one that is used in time renews itself, where its folder can be written',
  };
  const disk = lookAtDisk("folder of the client", dir);
  return together([
    { ...files, configurations: [{ file: dir, problems: [] }], certificates: [certificate] },
    { ...(await callAll(callees, clock)), disks: disk === undefined ? [] : [disk] },
  ]);
}

/** Throws when the folder names an entry that is no address. */
function calleesOf(dir: string, { entries }: ClientFolder, identity: ClientIdentity, clock: Clock): Callee[] {
  const { clusterSlug: slug, leaf } = identity;
  const expect = expectEntry(identity, () => clock.nowMs());
  const serverName = slug === undefined ? {} : { serverName: clientServerName(slug) };
  const tls = tlsOptions("dial-entry", { identity: leaf, expect, ...serverName });
  return entries.map((entry) => ({ address: hostPort(entry), usedBy: `client folder ${dir}`, peer: "entry", tls }));
}
