/** How a channel is opened. */

import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";

export const classes = {
  interactive: ChannelClass.INTERACTIVE,
  bulk: ChannelClass.BULK,
  droppable: ChannelClass.DROPPABLE,
} as const;

export interface OpenOptions {
  /** What the bytes are like; absent: what the resource says, once an entry has told. */
  readonly class?: keyof typeof classes;
  /** Default true: resolve when the target has accepted. False: at once; `channel.opened` tells. */
  readonly awaitTarget?: boolean;
  /**
   * The signed contract of a lease, encoded, for resources that need one (client/lease.ts reads files). The channel goes by
   * the entry it names. A newer contract of the same lease, shown by any channel, prolongs all under it.
   */
  readonly lease?: Uint8Array;
  readonly signal?: AbortSignal;
}
