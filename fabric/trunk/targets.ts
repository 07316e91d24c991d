/** Which attachment a lane should go on with. */

import type { Attachment } from "./attachments.ts";
import type { LaneName } from "./lane-name.ts";

export interface TargetWish {
  readonly lane: LaneName;
  /** Only attachments that answered a ping sent since then, in the time of the trunk. */
  readonly answeredSinceMs?: number;
  /** Attachments to leave out. */
  readonly without?: (attachment: Attachment) => boolean;
}

/** The best ready attachment: not one that is being left, not one that owes an answer to a ping, the one heard last. */
export function moveTarget(attachments: Iterable<Attachment>, wish: TargetWish): Attachment | undefined {
  let best: Attachment | undefined;
  for (const attachment of attachments) {
    if (attachment.lane !== wish.lane || attachment.phase !== "ready" || wish.without?.(attachment) === true) continue;
    const answered = attachment.answeredPingSentMs ?? Number.NEGATIVE_INFINITY;
    if (wish.answeredSinceMs !== undefined && answered < wish.answeredSinceMs) continue;
    if (best === undefined || better(attachment, best)) best = attachment;
  }
  return best;
}

function better(a: Attachment, b: Attachment): boolean {
  if (a.retired !== b.retired) return b.retired;
  const waits = (attachment: Attachment): boolean =>
    attachment.pingSentAtMs !== undefined && attachment.lastHeardMs < attachment.pingSentAtMs;
  if (waits(a) !== waits(b)) return waits(b);
  return a.lastHeardMs > b.lastHeardMs;
}
