/** A lane's change from one attachment to another, as it is told. */

import type { LaneName } from "./lane-name.ts";

/**
 * Why a lane moved: its first attachment; one again after a time without any; because the one it used was lost, fell silent,
 * drains, was revoked, or got old; because somebody asked; because the far end moved.
 */
export type MoveCause =
  | "first"
  | "resumed"
  | "lost"
  | "silent"
  | "draining"
  | "revoked"
  | "rotation"
  | "asked"
  | "peer";

export interface TrunkMove {
  readonly lane: LaneName;
  readonly attachmentId: number;
  /** Where it was before; undefined when it was nowhere. */
  readonly fromId: number | undefined;
  readonly generation: number;
  readonly cause: MoveCause;
  readonly replayedBytes: number;
}
