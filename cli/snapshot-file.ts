/** A verified snapshot from a file, for whoever goes on to use what it says (cli/snapshot-look.ts). */

import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { type Looked, lookAtSnapshot } from "./snapshot-look.ts";

export interface SnapshotFile {
  readonly snapshot: Snapshot;
  /** Name of the node it is for. */
  readonly nodeName: string;
  /** Who vouches for the key it was verified with. */
  readonly verifiedBy: Looked["vouchedBy"];
}

/**
 * Reads and verifies a snapshot; whether it has run out is the caller's affair.
 * @throws WeftError what `lookAtSnapshot` throws, and unauthenticated with its fault when it is not as it was signed.
 */
export function readSnapshotFile(path: string, stateDir: string | undefined, contextDir: string): SnapshotFile {
  const { snapshot, nodeName, vouchedBy, fault } = lookAtSnapshot(path, { stateDir, contextDir });
  if (snapshot === undefined) {
    throw new WeftError("unauthenticated", `the snapshot is refused: ${fault?.why ?? "it is not verified"}`, {
      detail: fault?.code ?? "SNAPSHOT_UNSIGNED",
    });
  }
  return { snapshot, nodeName: snapshot.self?.name ?? nodeName, verifiedBy: vouchedBy };
}
