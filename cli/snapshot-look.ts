/**
 * A snapshot in a file, looked at without control or node: what it says, who signed it, and the first thing that is wrong.
 *
 * A file is what a node keeps (`snapshot.bin` in its state folder) or what `weft snapshot export` wrote: the envelope as it
 * came and the public installation key, which counts only where its hash is vouched for. Nothing secret is read; of pools'
 * locators, the one thing in a snapshot that is not for everybody's eyes, only the number is told.
 */

import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { z } from "zod";
import { installationKeyHash, verifySigningKey } from "../certs/installation.ts";
import { readSecretFile } from "../certs/secret-file.ts";
import { verifySnapshot } from "../fabric/snapshot/verify.ts";
import { type Snapshot, type SnapshotEnvelope, SnapshotEnvelopeSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import { loadOperatorContext } from "../rpc/operator-context.ts";

export interface LookOptions {
  /** Folder of the node whose `identity.json` pins the installation key; default: the file's own. */
  readonly stateDir?: string | undefined;
  /** SHA-256 of the installation key, hex. */
  readonly installationKeyHash?: string | undefined;
  /** An operator's context that vouches for the key; undefined: none is asked. */
  readonly contextDir?: string | undefined;
}

export interface Fault {
  readonly code: string;
  readonly why: string;
}

export interface Looked {
  readonly file: string;
  readonly envelope: SnapshotEnvelope;
  /** Verified, all but what `fault` says. Absent when it is not what its signer signed. */
  readonly snapshot?: Snapshot;
  readonly nodeName: string;
  readonly installationKeyHash: string;
  /** Who vouches for the installation key. */
  readonly vouchedBy: "hash" | "operator context" | "state folder" | "nobody";
  readonly signer?: { readonly keyId: string; readonly notBeforeMs: number; readonly notAfterMs: number };
  /** The first thing that is wrong; absent: nothing. */
  readonly fault?: Fault;
}

const exported = z.object({
  format: z.literal("weft-snapshot/1"),
  clusterId: z.string(),
  nodeId: z.string(),
  nodeName: z.string(),
  installationKey: z.base64(),
  envelope: z.base64(),
});
const pinned = z.object({ clusterId: z.string(), nodeId: z.string(), name: z.string(), installationKey: z.base64() });

/** What a node remembers of the newest snapshot it ever held (node/high-water.ts), as far as it matters here. */
const highWater = z.object({ epoch: z.string().regex(/^\d+$/), version: z.string().regex(/^\d+$/) });

/** What is in a file before anything is believed. */
interface Found {
  readonly file: string;
  readonly envelope: SnapshotEnvelope;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly installationSpki: Uint8Array;
  readonly vouchedBy: "state folder" | "nobody";
  /** What its folder says of the newest it has held, read before the snapshot itself. */
  readonly markBytes?: Buffer;
}

/** Room for the envelope around a payload, and for base64. */
const fileMaxBytes = 2 * limits.snapshotMaxBytes;

/**
 * Looks at a snapshot. What is wrong with it is a fault of the answer.
 * @throws WeftError not_found (SNAPSHOT_FILE), failed_precondition (SNAPSHOT_KEY), invalid_argument (SNAPSHOT_SIZE,
 *   SNAPSHOT_MALFORMED): there is nothing that could be looked at.
 */
export function lookAtSnapshot(path: string, options: LookOptions): Looked {
  const found = findSnapshot(path, options.stateDir);
  const { file, envelope, nodeName, installationSpki } = found;
  const keyHash = installationKeyHash(installationSpki);
  const seen = { file, envelope, nodeName, installationKeyHash: keyHash };
  const vouching = vouchedFor(keyHash, found, options);
  if ("fault" in vouching) return { ...seen, vouchedBy: "nobody", fault: vouching.fault };
  const { vouchedBy } = vouching;
  try {
    const nowMs = systemClock.nowMs();
    const { clusterId, nodeId } = found;
    const snapshot = verifySnapshot(envelope, { installationSpki, clusterId, nodeId, nowMs });
    const signer = signerOf(found, nowMs);
    const fault = endedFault(snapshot, nowMs) ?? olderFault(found, snapshot);
    return { ...seen, vouchedBy, snapshot, ...signer, ...(fault === undefined ? {} : { fault }) };
  } catch (thrown) {
    const code = thrown instanceof WeftError ? thrown.detail : "SNAPSHOT_MALFORMED";
    return { ...seen, vouchedBy, fault: { code, why: faultTexts[code] ?? messageOf(thrown) } };
  }
}

/** Writes what is at `path` to a file that can be looked at anywhere. Returns what it is of. */
export function exportSnapshot(path: string, out: string, stateDir: string | undefined): Omit<Found, "envelope"> {
  const { envelope, ...found } = findSnapshot(path, stateDir);
  const { clusterId, nodeId, nodeName, installationSpki } = found;
  const content: z.input<typeof exported> = {
    format: "weft-snapshot/1",
    ...{ clusterId, nodeId, nodeName },
    installationKey: Buffer.from(installationSpki).toString("base64"),
    envelope: Buffer.from(toBinary(SnapshotEnvelopeSchema, envelope)).toString("base64"),
  };
  replaceFile(out, `${JSON.stringify(content)}\n`);
  return found;
}

const faultTexts: Readonly<Record<string, string>> = {
  SNAPSHOT_UNSIGNED: "no signing key came with it",
  SNAPSHOT_SIGNATURE: "its bytes are not what the signing key signed",
  SNAPSHOT_NOT_OURS: "it is of another node or cluster",
  SNAPSHOT_SIZE: "it is larger than any snapshot may be",
  SNAPSHOT_DATES: "its dates cannot be: it ends before it begins, or after its signing key",
  SIGNED_MALFORMED: "it is truncated, or says what this version does not know",
  STATEMENT_SIGNATURE: "the installation key did not certify its signing key",
  STATEMENT_DATES: "its signing key may not sign now: not yet, or not any more",
  STATEMENT_SCOPE: "its signing key was certified for something else",
  STATEMENT_KEY: "the statement about its signing key does not hold together",
  STATEMENT_RETIRED: "its signing key was replaced and counts no more",
};

function findSnapshot(path: string, stateDir: string | undefined): Found {
  const file = fileAt(path);
  const { size } = statSync(file);
  if (size > fileMaxBytes) throw new WeftError("invalid_argument", `${file} is too large`, { detail: "SNAPSHOT_SIZE" });
  const folder = stateDir ?? dirname(file);
  // A node that runs writes its snapshot first and the mark then: read in the other order, no snapshot is behind its mark.
  const isNodes = existsSync(join(folder, "identity.json"));
  const markBytes = isNodes ? readFileIfAny(join(folder, "snapshot-mark.json")) : undefined;
  const stored = readFileIfAny(file) ?? Buffer.alloc(0);
  try {
    if (stored[0] === 0x7b) return fromExport(file, stored);
    return { ...fromStateFolder(file, stored, folder), ...(markBytes === undefined ? {} : { markBytes }) };
  } catch (thrown) {
    if (thrown instanceof WeftError) throw thrown;
    const message = `${file} is no snapshot, or a part of one`;
    throw new WeftError("invalid_argument", message, { detail: "SNAPSHOT_MALFORMED", cause: thrown });
  }
}

/** A file, or the one in a node's folder. */
function fileAt(path: string): string {
  const inFolder = [join(path, "snapshot.bin"), join(path, "state", "snapshot.bin")].find((each) => existsSync(each));
  if (inFolder !== undefined) return inFolder;
  if (existsSync(path) && statSync(path).isFile()) return path;
  const message = `there is no snapshot at ${path}; name a node's state folder, its snapshot.bin, or an exported file`;
  throw new WeftError("not_found", message, { detail: "SNAPSHOT_FILE" });
}

function fromExport(file: string, stored: Buffer): Found {
  const { envelope, installationKey, ...about } = exported.parse(JSON.parse(stored.toString()));
  return {
    ...{ file, ...about, vouchedBy: "nobody" },
    envelope: fromBinary(SnapshotEnvelopeSchema, Buffer.from(envelope, "base64")),
    installationSpki: Buffer.from(installationKey, "base64"),
  };
}

function fromStateFolder(file: string, stored: Buffer, folder: string): Found {
  const identityPath = join(folder, "identity.json");
  if (!existsSync(identityPath)) {
    throw new WeftError(
      "failed_precondition",
      `${folder} holds no identity.json to verify the snapshot with; name the node's state folder with --state-dir`,
      { detail: "SNAPSHOT_KEY" },
    );
  }
  const identity = pinned.parse(JSON.parse(readSecretFile(identityPath, limits.identityFileMaxBytes)));
  return {
    ...{ file, clusterId: identity.clusterId, nodeId: identity.nodeId, nodeName: identity.name },
    vouchedBy: "state folder",
    envelope: fromBinary(SnapshotEnvelopeSchema, stored),
    installationSpki: Buffer.from(identity.installationKey, "base64"),
  };
}

function vouchedFor(
  keyHash: string,
  { vouchedBy }: Found,
  options: LookOptions,
): { readonly vouchedBy: Looked["vouchedBy"] } | { readonly fault: Fault } {
  const { installationKeyHash: wanted, contextDir } = options;
  if (wanted !== undefined) return wanted.toLowerCase() === keyHash ? { vouchedBy: "hash" } : other("named");
  if (contextDir !== undefined && existsSync(join(contextDir, "context.json"))) {
    const known = loadOperatorContext(contextDir).installationKeyHash === keyHash;
    return known ? { vouchedBy: "operator context" } : other("the operator's context knows");
  }
  if (vouchedBy === "state folder") return { vouchedBy };
  const why = "nothing vouches for its installation key: give --installation-key-hash or an operator's context";
  return { fault: { code: "SNAPSHOT_KEY", why } };
}

function other(which: string): { readonly fault: Fault } {
  return { fault: { code: "SNAPSHOT_KEY_OTHER", why: `it is of another installation than the one ${which}` } };
}

function signerOf({ envelope, installationSpki, clusterId }: Found, nowMs: number): Pick<Looked, "signer"> {
  if (envelope.signingKey === undefined) return {};
  const { keyId, notBeforeMs, notAfterMs } = verifySigningKey(envelope.signingKey, {
    ...{ installationSpki, clusterId, use: "snapshot", nowMs },
  });
  return { signer: { keyId, notBeforeMs, notAfterMs } };
}

function endedFault({ notAfterMs }: Snapshot, nowMs: number): Fault | undefined {
  if (Number(notAfterMs) > nowMs) return undefined;
  return { code: "SNAPSHOT_ENDED", why: "it has run out: a node does nothing under it any more" };
}

/** Whether the folder remembers a newer one than it holds. */
function olderFault({ markBytes }: Found, { epoch, version }: Snapshot): Fault | undefined {
  const mark = markBytes === undefined ? undefined : highWater.safeParse(JSON.parse(markBytes.toString())).data;
  if (mark === undefined) return undefined;
  const [markEpoch, markVersion] = [BigInt(mark.epoch), BigInt(mark.version)];
  if (epoch > markEpoch || (epoch === markEpoch && version >= markVersion)) return undefined;
  return { code: "SNAPSHOT_OLDER", why: `its folder has held ${markEpoch}.${markVersion}: it was put back` };
}
