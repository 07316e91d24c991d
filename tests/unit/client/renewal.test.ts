/** A client's certificate is renewed by itself, kept before it is used, and by one program at a time. */

import { createPublicKey } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { issueLeaf } from "../../../certs/ca.ts";
import { judgeCsr } from "../../../certs/csr.ts";
import { verifyEs256 } from "../../../certs/keys.ts";
import { certificatePem, type LeafOf } from "../../../certs/material.ts";
import { readClientFolder, renewedFile } from "../../../client/identity.ts";
import { type IdentitySource, identitySource } from "../../../client/identity-source.ts";
import { type RenewalQuestion, startRenewal } from "../../../client/renewal.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { silentLog } from "../../../lib/log.ts";
import { type Random, seededRandom, systemRandom } from "../../../lib/random.ts";
import { eventually } from "../../harness/eventually.ts";
import { TestTrust } from "../../harness/trust.ts";

const hourMs = 3_600_000;
const lifeMs = 24 * hourMs;
const middle: Random = { bytes: (count) => seededRandom(5).bytes(count), float: () => 0.5 };

let trust: TestTrust;
let leaf: LeafOf<"client">;
beforeAll(async () => {
  trust = await TestTrust.create();
  leaf = await trust.leaf("client", "ct-1");
});

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "weft-client-"));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, "client.key"), leaf.keyPem, { mode: 0o600 });
  writeFileSync(join(dir, "client.crt"), leaf.certificatePem);
  writeFileSync(join(dir, "servers.pem"), trust.ca("node").root.pem);
  writeFileSync(join(dir, "pools.pem"), trust.ca("pool").root.pem);
  writeFileSync(join(dir, "client.json"), JSON.stringify({ clusterSlug: "one", organizationId: "org", entries: [] }));
  return dir;
}

/** Control behind an entry: issues for whatever key asks. */
function entryAt(clock: ManualClock) {
  const entry = {
    failWith: undefined as Error | undefined,
    questions: [] as RenewalQuestion[],
    renewals: 0,
    renew: () => {
      entry.renewals += 1;
    },
    ask: <T>(ask: (paths: never) => Promise<T>): Promise<T> => ask({ renewIdentity } as never),
  };
  async function renewIdentity(question: RenewalQuestion) {
    entry.questions.push(question);
    if (entry.failWith !== undefined) throw entry.failWith;
    const issued = await issueLeaf(trust.ca("client"), {
      id: leaf.id,
      spkiDer: judgeCsr(question.csr).spkiDer,
      nowMs: clock.nowMs(),
      random: systemRandom,
    });
    return { certificateDer: issued.certificateDer };
  }
  return entry;
}

function stage(source: (clock: ManualClock) => IdentitySource, startMs = Date.now()) {
  const clock = new ManualClock(startMs);
  const entry = entryAt(clock);
  const made = source(clock);
  const renewal = startRenewal(made, [entry], {
    ...{ clock, random: middle, log: silentLog },
    read: () => made.read(),
    isTainted: () => false,
    onRenewed: () => {},
  });
  cleanups.push(() => renewal?.close());
  return { clock, entry, renewal, source: made, settled: () => eventually(() => clock.nextDueInMs(), { everyMs: 1 }) };
}

describe("a client's certificate", () => {
  it("LAW-I4 is renewed at a third of its life by the key it is for, and kept before anything uses it", async () => {
    const dir = folder();
    const { clock, entry, source, settled } = stage((at) => identitySource({ identity: dir, clock: at }));
    clock.advance(lifeMs / 3 - 60_000);
    await settled();
    expect(entry.questions).toEqual([]);
    clock.advance(120_000);
    await eventually(() => entry.renewals === 1, { everyMs: 1 });
    const [asked] = entry.questions;
    const key = createPublicKey(leaf.keyPem);
    const statement = Buffer.concat([
      Buffer.from("weft/client-renew/v1\0"),
      asked?.csr ?? Buffer.of(),
      Buffer.from(String(asked?.issuedAtMs)),
    ]);
    expect(verifyEs256(key, statement, asked?.signature ?? Buffer.of())).toBe(true);
    expect(source.read().leaf.serialHex).not.toBe(leaf.serialHex);
    expect(source.read().clientId).toBe("ct-1");
    expect(readFileSync(join(dir, "client.key"), "utf8")).toBe(source.read().leaf.keyPem);
    expect(existsSync(join(dir, renewedFile))).toBe(false);
    await settled();
    clock.advance(hourMs);
    await settled();
    expect(entry.questions).toHaveLength(1);
  });

  it("is asked for with the same key until there is an answer, and by one program of several", async () => {
    const dir = folder();
    const one = stage((at) => identitySource({ identity: dir, clock: at }));
    const two = stage((at) => identitySource({ identity: dir, clock: at }));
    two.clock.advance(0);
    await two.settled();
    one.entry.failWith = new WeftError("unavailable", "away");
    one.clock.advance(lifeMs / 2);
    await eventually(() => one.entry.questions.length === 1, { everyMs: 1 });
    one.clock.advance((await one.settled()) ?? 0);
    await eventually(() => one.entry.questions.length === 2, { everyMs: 1 });
    const keys = one.entry.questions.map(({ csr }) => judgeCsr(csr).keyHash);
    expect(new Set(keys).size).toBe(1);
    one.entry.failWith = undefined;
    one.clock.advance((await one.settled()) ?? 0);
    await eventually(() => one.entry.renewals === 1, { everyMs: 1 });
    // The other program finds a fresh one in the folder they share.
    two.clock.advance(lifeMs / 3 + 60_000);
    await two.settled();
    expect(two.entry.questions).toEqual([]);
    expect(two.source.read().leaf.serialHex).toBe(one.source.read().leaf.serialHex);
    // Its connections are made anew under it, once.
    expect([one.entry.renewals, two.entry.renewals]).toEqual([1, 1]);
  });

  it("is found whole by whoever starts after a renewal that was cut between key and certificate", async () => {
    const dir = folder();
    const next = await trust.leaf("client", "ct-1");
    writeFileSync(join(dir, renewedFile), `${next.keyPem.trimEnd()}\n${certificatePem(next.certificateDer)}`, {
      mode: 0o600,
    });
    writeFileSync(join(dir, "client.key"), next.keyPem, { mode: 0o600 });
    const clock = new ManualClock(Date.now());
    expect(identitySource({ identity: dir, clock }).read().leaf.serialHex).toBe(next.serialHex);
    expect(readClientFolder(dir).pems.keyPem.trim()).toBe(next.keyPem.trim());
  });

  it("given as texts is renewed only for whoever keeps it, and never when its owner renews it", async () => {
    const { pems } = readClientFolder(folder());
    const kept: string[] = [];
    const onRenewed = ({ certificatePem: text }: { readonly certificatePem: string }): void => void kept.push(text);
    const { clock, entry, source } = stage((at) => identitySource({ identity: pems, onRenewed, clock: at }));
    clock.advance(lifeMs / 2);
    await eventually(() => entry.renewals === 1, { everyMs: 1 });
    expect(kept).toEqual([source.read().leaf.certificatePem]);
    for (const identity of [pems, () => pems]) {
      const owned = stage((at) => identitySource({ identity, clock: at }));
      expect(owned.renewal).toBeUndefined();
    }
  });

  it("that has expired is not asked for: an operator makes it anew", async () => {
    const afterwardsMs = leaf.notAfterMs + 1_000;
    const { clock, entry, settled } = stage((at) => identitySource({ identity: folder(), clock: at }), afterwardsMs);
    clock.advance(1_000);
    await settled();
    expect(entry.questions).toEqual([]);
  });
});
