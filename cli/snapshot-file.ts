/**
 * A snapshot from a file, for looking at it without control or node.
 *
 * The file is what a node keeps as `snapshot.bin` in its state folder. Its signature is verified with the installation key
 * that is pinned in `identity.json` of a state folder (the file's own, or another one that is named), and that key has to be
 * the one the operator's context knows, when there is a context. Nothing else of the identity is read.
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { z } from "zod";
import { keyHash } from "../certs/keys.ts";
import { readSecretFile } from "../certs/secret-file.ts";
import { verifySnapshot } from "../fabric/snapshot/verify.ts";
import { type Snapshot, SnapshotEnvelopeSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import { loadOperatorContext } from "../rpc/operator-context.ts";

const pinned = z.object({ clusterId: z.string(), nodeId: z.string(), name: z.string(), installationKey: z.base64() });

export interface SnapshotFile {
  readonly snapshot: Snapshot;
  /** Name of the node it is for. */
  readonly nodeName: string;
  /** Who vouches for the key it was verified with. */
  readonly verifiedBy: "operator context" | "state folder";
}

/**
 * Reads and verifies a snapshot.
 * @throws WeftError not_found (SNAPSHOT_FILE), failed_precondition (SNAPSHOT_KEY: no state folder to verify it with),
 *   unauthenticated (SNAPSHOT_KEY_OTHER: another installation's) and what `verifySnapshot` throws.
 */
export function readSnapshotFile(path: string, stateDir: string | undefined, contextDir: string): SnapshotFile {
  const stored = readFileIfAny(path);
  if (stored === undefined) throw new WeftError("not_found", `there is no file ${path}`, { detail: "SNAPSHOT_FILE" });
  const folder = stateDir ?? dirname(path);
  const identityPath = join(folder, "identity.json");
  if (!existsSync(identityPath)) {
    throw new WeftError(
      "failed_precondition",
      `${folder} holds no identity.json to verify the snapshot with; name the node's state folder with --state-dir`,
      { detail: "SNAPSHOT_KEY" },
    );
  }
  const identity = pinned.parse(JSON.parse(readSecretFile(identityPath, limits.identityFileMaxBytes)));
  const installationSpki = Buffer.from(identity.installationKey, "base64");
  const verifiedBy = vouchedFor(installationSpki, contextDir);
  const { clusterId, nodeId } = identity;
  const expect = { installationSpki, clusterId, nodeId, nowMs: systemClock.nowMs() };
  const snapshot = verifySnapshot(fromBinary(SnapshotEnvelopeSchema, stored), expect);
  return { snapshot, nodeName: snapshot.self?.name ?? identity.name, verifiedBy };
}

function vouchedFor(installationSpki: Uint8Array, contextDir: string): SnapshotFile["verifiedBy"] {
  if (!existsSync(join(contextDir, "context.json"))) return "state folder";
  const { installationKeyHash } = loadOperatorContext(contextDir);
  if (keyHash(installationSpki) === installationKeyHash) return "operator context";
  throw new WeftError("unauthenticated", "the snapshot is of another installation than the operator's context", {
    detail: "SNAPSHOT_KEY_OTHER",
  });
}
