import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import { writeSecretFile } from "../../../certs/secret-file.ts";
import { buildProgram } from "../../../cli/program.ts";
import { readSnapshotFile } from "../../../cli/snapshot-file.ts";
import { exportSnapshot, type Looked, lookAtSnapshot } from "../../../cli/snapshot-look.ts";
import { signSnapshotPayload } from "../../../fabric/snapshot/sign.ts";
import { NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotEnvelopeSchema, SnapshotSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { writeHighWater } from "../../../node/high-water.ts";
import { installation, signer } from "../fabric/snapshot/stage.ts";
import { stateFolder } from "../node/stage.ts";

const nowMs = Math.floor(systemClock.nowMs());
const ours = signer("snapshot", "cl-a", installation, nowMs);
const hash = createHash("sha256").update(installation.spkiDer).digest("hex");
/** What nobody may print of a snapshot. */
const secretMarker = "LOCATOR-PLANTED-MARKER-0123456789";

function snapshotWith(over: { nodeId?: string; issuedAtMs?: bigint; notAfterMs?: bigint } = {}): Snapshot {
  return create(SnapshotSchema, {
    ...{ trustDomain: "weft.test", clusterId: "cl-a", clusterSlug: "default", nodeId: "nd-1", epoch: 2n, version: 7n },
    ...{ issuedAtMs: BigInt(nowMs), notAfterMs: BigInt(nowMs + 86_400_000) },
    auditHead: { seq: 41n, hash: new Uint8Array(32).fill(0xab) },
    self: { name: "edge-1", roles: [{ role: NodeRole.ENTRY }] },
    pools: [{ poolId: "pl-1", locators: [{ egressNodeId: "nd-2", current: Buffer.from(secretMarker) }] }],
    workloads: [{ name: "app", spec: { command: secretMarker } }],
    ...over,
  });
}

const signed = (snapshot = snapshotWith(), by = ours) =>
  signSnapshotPayload(by, { clusterId: "cl-a", nodeId: snapshot.nodeId }, toBinary(SnapshotSchema, snapshot));

/** A node's folder with a snapshot in it. */
function folderWith(envelope = signed(), installationKey = installation.spkiDer) {
  const folder = stateFolder();
  const file = join(folder.dir, "snapshot.bin");
  writeFileSync(file, toBinary(SnapshotEnvelopeSchema, envelope));
  const identity = { clusterId: "cl-a", nodeId: "nd-1", name: "edge-1", key: secretMarker };
  const pinned = { ...identity, installationKey: Buffer.from(installationKey).toString("base64") };
  writeSecretFile(join(folder.dir, "identity.json"), JSON.stringify(pinned));
  return { ...folder, file };
}

const faultOf = (look: () => Looked): string => {
  try {
    return look().fault?.code ?? "none";
  } catch (thrown) {
    return (thrown as { detail: string }).detail;
  }
};

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

describe("a snapshot in a file", () => {
  it("is what its signer signed, by the folder's word, by a hash, or as an export anywhere", () => {
    using folder = folderWith();
    for (const path of [folder.dir, folder.file]) {
      expect(lookAtSnapshot(path, {})).toMatchObject({ vouchedBy: "state folder", snapshot: { version: 7n } });
    }
    expect(lookAtSnapshot(folder.dir, { installationKeyHash: hash.toUpperCase() })).toMatchObject({
      vouchedBy: "hash",
    });
    const out = join(folder.dir, "exported.json");
    exportSnapshot(folder.dir, out, undefined);
    expect(lookAtSnapshot(out, { installationKeyHash: hash }).fault).toBeUndefined();
    // An export carries its own key: that it is there says nothing.
    expect(faultOf(() => lookAtSnapshot(out, {}))).toBe("SNAPSHOT_KEY");
    expect(readFileSync(out, "utf8")).not.toContain("identity");
    // What lies beside an export is none of its business.
    using elsewhere = stateFolder();
    mkdirSync(join(elsewhere.dir, "snapshot-mark.json"));
    const carried = join(elsewhere.dir, "exported.json");
    copyFileSync(out, carried);
    expect(lookAtSnapshot(carried, { installationKeyHash: hash }).fault).toBeUndefined();
  });

  it("THR-S5 is refused for the first thing that is wrong", () => {
    const flipped = signed();
    const payload = flipped.payload.slice();
    payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
    const strange = createInstallationKey();
    const retired = signer("snapshot", "cl-a", installation, nowMs - limits.signingKeyStatementLifeMs - 60_000);
    const cases: [string, () => Looked][] = [
      ["SNAPSHOT_SIGNATURE", () => look(folderWith({ ...flipped, payload }))],
      ["SNAPSHOT_SIGNATURE", () => look(folderWith(signed(snapshotWith({ nodeId: "nd-2" }))))],
      ["STATEMENT_DATES", () => look(folderWith(signed(snapshotWith(), retired)))],
      ["STATEMENT_SCOPE", () => look(folderWith(signed(snapshotWith(), signer("feed", "cl-a", installation, nowMs))))],
      [
        "STATEMENT_SIGNATURE",
        () => look(folderWith(signed(snapshotWith(), signer("snapshot", "cl-a", strange, nowMs)))),
      ],
      ["SNAPSHOT_KEY_OTHER", () => look(folderWith(signed(), strange.spkiDer), hash)],
      ["SNAPSHOT_UNSIGNED", () => look(folderWith(create(SnapshotEnvelopeSchema, { payload })))],
      ["SNAPSHOT_SIZE", () => look(folderWith({ ...flipped, payload: new Uint8Array(limits.snapshotMaxBytes + 1) }))],
      [
        "SNAPSHOT_ENDED",
        () => look(folderWith(signed(snapshotWith({ issuedAtMs: BigInt(nowMs - 9), notAfterMs: BigInt(nowMs - 1) })))),
      ],
    ];
    function look(folder: ReturnType<typeof folderWith>, wanted?: string): Looked {
      using held = folder;
      return lookAtSnapshot(held.dir, { installationKeyHash: wanted });
    }
    for (const [code, act] of cases) expect(faultOf(act)).toBe(code);
  });

  it("THR-S1 an older one than its folder has held was put back", () => {
    using folder = folderWith();
    const mark = { payloadHash: "", floorMs: nowMs };
    writeHighWater(folder.dir, { ...mark, epoch: 2n, version: 7n });
    expect(faultOf(() => lookAtSnapshot(folder.dir, {}))).toBe("none");
    for (const place of [
      { epoch: 2n, version: 8n },
      { epoch: 3n, version: 1n },
    ]) {
      writeHighWater(folder.dir, { ...mark, ...place });
      expect(faultOf(() => lookAtSnapshot(folder.dir, {}))).toBe("SNAPSHOT_OLDER");
    }
  });

  it("M-F12 a node that takes a newer one while it is looked at did not put anything back", () => {
    using folder = folderWith();
    const mark = { epoch: 2n, payloadHash: "", floorMs: nowMs };
    writeHighWater(folder.dir, { ...mark, version: 7n });
    // The date is asked for between what is read first and what is judged last.
    vi.spyOn(systemClock, "nowMs").mockImplementation(() => {
      writeHighWater(folder.dir, { ...mark, version: 8n });
      return nowMs;
    });
    expect(faultOf(() => lookAtSnapshot(folder.dir, {}))).toBe("none");
  });

  it("what is none is said to be none, whatever it is", () => {
    using folder = folderWith();
    const { dir, file } = folder;
    const whole = readFileSync(file);
    writeFileSync(file, whole.subarray(0, whole.length - 3));
    expect(faultOf(() => lookAtSnapshot(file, {}))).toBe("SNAPSHOT_MALFORMED");
    writeFileSync(file, '{"format":"weft-snapshot/1"');
    expect(faultOf(() => lookAtSnapshot(file, {}))).toBe("SNAPSHOT_MALFORMED");
    writeFileSync(file, Buffer.alloc(2 * limits.snapshotMaxBytes + 1));
    expect(faultOf(() => lookAtSnapshot(file, {}))).toBe("SNAPSHOT_SIZE");
    expect(faultOf(() => lookAtSnapshot(join(dir, "none"), {}))).toBe("SNAPSHOT_FILE");
    expect(faultOf(() => lookAtSnapshot(file, { stateDir: join(dir, "none") }))).toBe("SNAPSHOT_SIZE");
    writeFileSync(file, whole);
    expect(faultOf(() => lookAtSnapshot(file, { stateDir: join(dir, "none") }))).toBe("SNAPSHOT_KEY");
    expect(() => readSnapshotFile(file, undefined, join(dir, "none"))).not.toThrow();
  });
});

describe("weft snapshot", () => {
  async function weft(...words: string[]): Promise<string> {
    let said = "";
    vi.spyOn(process.stdout, "write").mockImplementation((part) => {
      said += String(part);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockImplementation(() => true);
    const program = await buildProgram(words);
    await program.exitOverride().parseAsync(["node", "weft", ...words]);
    return said;
  }

  it("shows who signed, for whom, until when and how much; never a locator, a key or a command line", async () => {
    using folder = folderWith();
    const context = ["--context", join(folder.dir, "none")];
    const text = await weft("snapshot", "show", folder.dir, ...context);
    for (const part of ["2.7", "edge-1", "default", "41 abababababababab", ours.keyId.slice(0, 16), "holds locators"])
      expect(text).toContain(part);
    const json = await weft("snapshot", "show", folder.dir, "--json", ...context);
    expect(JSON.parse(json)).toMatchObject({ ok: true, epoch: 2, version: 7, counts: { locators: 1, workloads: 1 } });
    for (const said of [text, json])
      for (const form of [
        secretMarker,
        Buffer.from(secretMarker).toString("base64"),
        Buffer.from(secretMarker).toString("hex"),
      ])
        expect(said).not.toContain(form);
  });

  it("verifies with an exit code: one object on one line, with the first fault", async () => {
    using folder = folderWith();
    const context = ["--context", join(folder.dir, "none"), "--json"];
    expect(JSON.parse(await weft("snapshot", "verify", folder.dir, ...context))).toMatchObject({ ok: true });
    expect(process.exitCode).toBeUndefined();
    const wrong = await weft("snapshot", "verify", folder.dir, "--installation-key-hash", "00".repeat(32), ...context);
    expect(wrong.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(wrong)).toMatchObject({ ok: false, fault: { code: "SNAPSHOT_KEY_OTHER" } });
    expect(process.exitCode).toBe(1);
  });
});
