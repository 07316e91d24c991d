/**
 * What was sent to an echo, and what of it came back: each message as the bytes it was, in order, once. Pure.
 *
 * EL1. A byte counts as received only when it is the byte that was sent at this place.
 * EL2. The first byte that is another ends the verification: what comes behind it proves nothing.
 */

export interface EchoTotals {
  readonly sent: number;
  readonly received: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Sent, and not received as it was sent. */
  readonly bytesLost: number;
}

interface Outstanding {
  readonly message: Buffer;
  readonly sentAtMs: number;
  at: number;
}

/** A message that came back whole. */
export interface EchoAnswer {
  /** From 1, in the order of sending. */
  readonly number: number;
  readonly rttMs: number;
}

export class EchoLedger {
  readonly #outstanding: Outstanding[] = [];
  #sent = 0;
  #received = 0;
  #bytesSent = 0;
  #bytesReceived = 0;
  #damagedAt: number | undefined;

  /** Notes a message before it is written. It must not be changed afterwards. */
  send(message: Buffer, nowMs: number): void {
    this.#outstanding.push({ message, sentAtMs: nowMs, at: 0 });
    this.#sent += 1;
    this.#bytesSent += message.length;
  }

  /** Takes what came back; returns the messages it completed. */
  receive(bytes: Buffer, nowMs: number): EchoAnswer[] {
    const answers: EchoAnswer[] = [];
    let from = 0;
    while (from < bytes.length && this.#damagedAt === undefined) {
      const head = this.#outstanding[0];
      const count = head === undefined ? 0 : Math.min(bytes.length - from, head.message.length - head.at);
      const isSame = head?.message.subarray(head.at, head.at + count).equals(bytes.subarray(from, from + count));
      if (head === undefined || isSame !== true) {
        this.#damagedAt = this.#bytesReceived;
        break;
      }
      from += count;
      head.at += count;
      this.#bytesReceived += count;
      if (head.at < head.message.length) continue;
      this.#outstanding.shift();
      this.#received += 1;
      answers.push({ number: this.#received, rttMs: nowMs - head.sentAtMs });
    }
    return answers;
  }

  /** Messages on their way. */
  get waiting(): number {
    return this.#sent - this.#received;
  }

  /** Where the first byte came back that was not the one sent, counted in bytes received; undefined: nowhere. */
  get damagedAt(): number | undefined {
    return this.#damagedAt;
  }

  totals(): EchoTotals {
    return {
      sent: this.#sent,
      received: this.#received,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      bytesLost: this.#bytesSent - this.#bytesReceived,
    };
  }
}
