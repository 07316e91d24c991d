/** What one process decides by itself about certificates, snapshots, tokens, fences and targets. */

import { create } from "@bufbuild/protobuf";
import { createRoot, type IssuingCa, issueLeaf } from "../../certs/ca.ts";
import { certifySigningKey, createInstallationKey, signingKeyId } from "../../certs/installation.ts";
import { type Expectation, judgeCertificate } from "../../certs/judge.ts";
import { generateEd25519, generateP256, type KeyPair } from "../../certs/keys.ts";
import { rootsOfKind } from "../../certs/material.ts";
import { compareFences, judgeFence } from "../../fabric/lease.ts";
import { type OnlineSigner, signSnapshot } from "../../fabric/snapshot/sign.ts";
import { admitSnapshot, verifySnapshot } from "../../fabric/snapshot/verify.ts";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { ManualClock, systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { randomInt, seededRandom, systemRandom } from "../../lib/random.ts";
import { createCeilingJudge } from "../../node/ceiling.ts";
import { LegTable } from "../../relay/legs.ts";
import { type Check, holds } from "../check.ts";

const clusterId = "cl-a";
const trustDomain = "weft.test";

function newRoot(kind: "node" | "client"): Promise<IssuingCa> {
  return createRoot({ kind, clusterName: "a", generation: 1, nowMs: systemClock.nowMs(), random: systemRandom });
}

function newLeaf(ca: IssuingCa, kind: "node" | "client", keys: KeyPair = generateP256()) {
  const id = { trustDomain, clusterId, kind, id: "nd-1" } as const;
  return issueLeaf(ca, { id, spkiDer: keys.spkiDer, nowMs: systemClock.nowMs(), random: systemRandom });
}

async function judged(): Promise<string> {
  const [ours, theirs, clients] = [await newRoot("node"), await newRoot("node"), await newRoot("client")];
  const leaf = await newLeaf(ours, "node");
  const expect: Expectation<"node"> = {
    kind: "node",
    trustDomain,
    clusterId,
    roots: rootsOfKind("node", [ours.root.der]),
    nowMs: () => systemClock.nowMs(),
  };
  const der = leaf.certificateDer;
  holds(judgeCertificate(der, expect).ok, "a right leaf is refused");
  const flipped = Uint8Array.from(der);
  flipped[flipped.length - 5] = (flipped.at(-5) ?? 0) ^ 1;
  const wrong = {
    expired: judgeCertificate(der, { ...expect, nowMs: () => leaf.notAfterMs }),
    "expired by the newest signed time": judgeCertificate(der, { ...expect, newestSignedMs: () => leaf.notAfterMs }),
    "not yet valid": judgeCertificate(der, { ...expect, nowMs: () => leaf.notBeforeMs - 1 }),
    "of another root": judgeCertificate((await newLeaf(theirs, "node")).certificateDer, expect),
    "of another kind": judgeCertificate((await newLeaf(clients, "client")).certificateDer, expect),
    "of another cluster": judgeCertificate(der, { ...expect, clusterId: "cl-b" }),
    "of another trust domain": judgeCertificate(der, { ...expect, trustDomain: "other.test" }),
    "of somebody else": judgeCertificate(der, { ...expect, ids: ["nd-2"] }),
    revoked: judgeCertificate(der, { ...expect, revoked: () => true }),
    "no member": judgeCertificate(der, { ...expect, member: () => false }),
    altered: judgeCertificate(flipped, expect),
    cut: judgeCertificate(der.subarray(0, der.length - 1), expect),
    "a root itself": judgeCertificate(ours.root.der, expect),
  };
  for (const [what, verdict] of Object.entries(wrong)) holds(!verdict.ok, `one that is ${what} passes`);
  return `${Object.keys(wrong).length} wrong certificates refused`;
}

function signer(installation: KeyPair, use: "snapshot" | "feed"): OnlineSigner {
  const key = generateEd25519();
  const request = { clusterId, signingSpki: key.spkiDer, use, nowMs: systemClock.nowMs() };
  const statement = certifySigningKey(installation.privateKey, request);
  return { keyId: signingKeyId(key.spkiDer), privateKey: key.privateKey, statement };
}

function refuses(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch {
    return true;
  }
}

function snapshotsBelieved(): string {
  const installation = createInstallationKey();
  const nowMs = systemClock.nowMs();
  const online = signer(installation, "snapshot");
  const expect = { installationSpki: installation.spkiDer, clusterId, nodeId: "nd-1", nowMs };
  const fields = { clusterId, nodeId: "nd-1", epoch: 2n, version: 5n };
  const dates = { issuedAtMs: BigInt(nowMs), notAfterMs: BigInt(nowMs + 60_000) };
  const snapshot = create(SnapshotSchema, { ...fields, ...dates });
  const envelope = signSnapshot(online, snapshot);
  verifySnapshot(envelope, expect);
  const payload = Uint8Array.from(envelope.payload);
  payload[8] = (payload[8] ?? 0) ^ 1;
  const wrong = {
    altered: () => verifySnapshot({ ...envelope, payload }, expect),
    "another node's": () => verifySnapshot(envelope, { ...expect, nodeId: "nd-2" }),
    "another cluster's": () => verifySnapshot(envelope, { ...expect, clusterId: "cl-b" }),
    "another installation's": () =>
      verifySnapshot(envelope, { ...expect, installationSpki: createInstallationKey().spkiDer }),
    "signed by a key for feeds": () => verifySnapshot(signSnapshot(signer(installation, "feed"), snapshot), expect),
    "too large": () => verifySnapshot({ ...envelope, payload: new Uint8Array(limits.snapshotMaxBytes + 1) }, expect),
  };
  for (const [what, work] of Object.entries(wrong)) holds(refuses(work), `one that is ${what} passes`);
  const held = { epoch: 2n, version: 5n, payloadHash: "a" };
  const positions = [
    [{ ...held, epoch: 1n, version: 9n }, "older"],
    [{ ...held, version: 4n }, "older"],
    [held, "same"],
    [{ ...held, payloadHash: "b" }, "fork"],
    [{ ...held, version: 6n }, "newer"],
    [{ ...held, epoch: 3n, version: 1n }, "newer"],
  ] as const;
  for (const [incoming, verdict] of positions) holds(admitSnapshot(held, incoming) === verdict, `not ${verdict}`);
  return `${Object.keys(wrong).length} wrong snapshots refused; older, equal and forked ones told apart`;
}

function legTokens(): string {
  const clock = new ManualClock();
  const tokens = 500;
  const legs = new LegTable<number>({ clock, random: systemRandom, lifeMs: limits.legTokenLifeMs, maxCount: tokens });
  const minted = Array.from({ length: tokens }, (_, value) =>
    legs.mint({ predecessor: "nd-a", initiator: "nd-i", value, onUnused: () => {} }),
  );
  for (const [value, { token }] of minted.entries()) {
    if (value % 3 === 2) continue;
    holds(legs.take(token, "nd-b") === undefined, "taken by somebody else");
    holds(legs.take(token, "nd-a") === value, "not taken by its owner");
    holds(legs.take(token, "nd-a") === undefined, "taken twice");
  }
  clock.advance(limits.legTokenLifeMs);
  for (const { token } of minted) holds(legs.take(token, "nd-a") === undefined, "taken after its end");
  return `${tokens} tokens: once, by their owner, within ${limits.legTokenLifeMs / 1_000} s`;
}

function fences(): string {
  const random = seededRandom(5);
  const steps = 5_000;
  let highest: { epoch: bigint; counter: bigint } | undefined;
  for (let at = 0; at < steps; at += 1) {
    const offered = { epoch: BigInt(randomInt(random, 5)), counter: BigInt(randomInt(random, 50)) };
    const verdict = judgeFence(highest, offered);
    const order = highest === undefined ? 1 : compareFences(offered, highest);
    holds(verdict === (order > 0 ? "raise" : order === 0 ? "accept" : "refuse"), `step ${at}: ${verdict}`);
    if (verdict === "raise") highest = offered;
  }
  return `${steps} fences offered, none lower than the highest was taken`;
}

function ceilings(): string {
  const everything = { fromPort: 1, toPort: 65_535 };
  const judge = createCeilingJudge({
    roles: ["egress"],
    targets: ["0.0.0.0/0", "::/0"].map((cidr) => ({ cidr, ...everything })),
    unixPrefixes: [],
    listenerHosts: [],
    workloads: {
      commands: [],
      folders: [],
      users: [],
      environment: [],
      files: [],
      directories: [],
      hostPrivileges: false,
    },
  });
  const forbidden = [
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "0.0.0.0",
    "fe80::1",
  ];
  for (const address of forbidden) holds(!judge.allowsTarget(address, 80), `${address} may be dialled`);
  holds(judge.allowsTarget("93.184.216.34", 443), "nothing may be dialled");
  return `${forbidden.length} spellings of loopback, link-local and metadata addresses refused under "everything"`;
}

export const trustCoreChecks: readonly Check<void>[] = [
  { id: "I4.judge", law: "LAW-I4", title: "wrong certificates before the one judge", run: judged },
  { id: "A12.believed", law: "M-A12", title: "which snapshots a node believes", run: snapshotsBelieved },
  { id: "R1.leg-tokens", law: "LAW-R1", title: "leg tokens: once, by their owner, in time", run: legTokens },
  { id: "F3.fences", law: "LAW-F3", title: "an egress and the fences it is offered", run: fences },
  { id: "C6.ceilings", law: "LAW-C6", title: "what an egress never dials", run: ceilings },
];
