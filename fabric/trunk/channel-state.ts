/**
 * The life of a channel at one end, as a total table: every state says what every event does to it. `ignore` is for frames
 * that were under way when this end had already ended the channel; `violation` ends the trunk; `bug` is ours.
 */

export type ChannelState =
  /** Initiator: the open frame is queued or sent, the far edge has not answered. */
  | "opening"
  /** The same, and this end has sent its half-close. */
  | "opening_half_local"
  /** Acceptor: offered to the owner, who has not answered. */
  | "offered"
  /** The same, and the opener has sent its half-close. */
  | "offered_half_remote"
  | "open"
  /** This end will send no more. */
  | "half_local"
  /** The other end will send no more. */
  | "half_remote"
  /** Both half-closes passed. */
  | "closed"
  /** One end reset it. */
  | "reset";

export type ChannelEvent =
  | "accept"
  | "send_half"
  | "send_reset"
  | "recv_opened"
  | "recv_data"
  | "recv_half"
  | "recv_reset"
  | "recv_credit";

export type Outcome = ChannelState | "ignore" | "violation" | "bug";

const done: Record<ChannelEvent, Outcome> = {
  accept: "ignore",
  send_half: "ignore",
  send_reset: "ignore",
  recv_opened: "ignore",
  recv_data: "ignore",
  recv_half: "ignore",
  recv_reset: "ignore",
  recv_credit: "ignore",
};

export const channelTable: Record<ChannelState, Record<ChannelEvent, Outcome>> = {
  opening: {
    accept: "bug",
    send_half: "opening_half_local",
    send_reset: "reset",
    recv_opened: "open",
    recv_data: "violation",
    recv_half: "violation",
    recv_reset: "reset",
    recv_credit: "violation",
  },
  opening_half_local: {
    accept: "bug",
    send_half: "bug",
    send_reset: "reset",
    recv_opened: "half_local",
    recv_data: "violation",
    recv_half: "violation",
    recv_reset: "reset",
    recv_credit: "violation",
  },
  offered: {
    accept: "open",
    send_half: "bug",
    send_reset: "reset",
    recv_opened: "violation",
    recv_data: "offered",
    recv_half: "offered_half_remote",
    recv_reset: "reset",
    recv_credit: "violation",
  },
  offered_half_remote: {
    accept: "half_remote",
    send_half: "bug",
    send_reset: "reset",
    recv_opened: "violation",
    recv_data: "violation",
    recv_half: "violation",
    recv_reset: "reset",
    recv_credit: "violation",
  },
  open: {
    accept: "bug",
    send_half: "half_local",
    send_reset: "reset",
    recv_opened: "violation",
    recv_data: "open",
    recv_half: "half_remote",
    recv_reset: "reset",
    recv_credit: "open",
  },
  half_local: {
    accept: "bug",
    send_half: "bug",
    send_reset: "reset",
    recv_opened: "violation",
    recv_data: "half_local",
    recv_half: "closed",
    recv_reset: "reset",
    recv_credit: "half_local",
  },
  half_remote: {
    accept: "bug",
    send_half: "closed",
    send_reset: "reset",
    recv_opened: "violation",
    recv_data: "violation",
    recv_half: "violation",
    recv_reset: "reset",
    recv_credit: "half_remote",
  },
  closed: done,
  reset: done,
};
