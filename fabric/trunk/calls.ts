/** What a trunk calls out to the far end beside its data: pings, and the wish for another path. */

import { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { Attachment } from "./attachments.ts";
import type { Trunk } from "./trunk.ts";

/** Asks for a ping on an attachment unless one is under way. */
export function ping(trunk: Trunk, attachment: Attachment): void {
  attachment.ping();
  trunk.events.wake(attachment.id);
}

/** Asks for a ping on every ready attachment that has been silent since `silentSinceMs`. */
export function pingSilent(trunk: Trunk, silentSinceMs: number): void {
  for (const attachment of trunk.attachments()) {
    if (attachment.phase === "ready" && attachment.lastHeardMs <= silentSinceMs) ping(trunk, attachment);
  }
}

/** Acceptor: asks the initiator for another path, on every way there is. */
export function wantPath(trunk: Trunk): void {
  for (const attachment of trunk.attachments()) {
    if (attachment.phase === "ready") attachment.notice(NoticeKind.WANT_PATH, "");
    trunk.events.wake(attachment.id);
  }
}
