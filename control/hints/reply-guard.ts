/**
 * What a Redis may say to this program: the answers to PUBLISH, SUBSCRIBE and what comes before them, and messages. The client
 * library takes a server at its word, and one that lies about types ends the process: so a connection whose bytes are
 * anything else is hung up on before the library reads them.
 *
 * R1. Lines and strings have a small bound: nothing is held of an answer without end.
 * R2. `accepts` sees every byte once, in order, however the network cut them.
 */

/** Longest line and longest string; our own topics and channel are shorter. */
const MAX_BYTES = 512;
const CR = 13;
const LF = 10;

/** What is read now: a line, or so many bytes of a string and the line end behind them. */
type Expecting = { readonly line: true } | { readonly line: false; left: number };

export class ReplyGuard {
  readonly #isSubscriber: boolean;
  #expecting: Expecting = { line: true };
  #line = "";
  /** Parts of an array that are still to come, and where in it we are. */
  #left = 0;
  #place = 0;

  /** The connection that listens gets messages; the other one only numbers. */
  constructor(isSubscriber: boolean) {
    this.#isSubscriber = isSubscriber;
  }

  /** Whether these bytes, after those before, are what such a server says. */
  accepts(chunk: Uint8Array): boolean {
    for (const byte of chunk) if (!this.#accept(byte)) return false;
    return true;
  }

  #accept(byte: number): boolean {
    const at = this.#expecting;
    if (!at.line) {
      at.left -= 1;
      if (at.left === 1 && byte !== CR) return false;
      if (at.left !== 0) return true;
      if (byte !== LF) return false;
      this.#expecting = { line: true };
      return this.#partDone();
    }
    if (byte !== LF) {
      this.#line += String.fromCharCode(byte);
      return this.#line.length <= MAX_BYTES;
    }
    const line = this.#line;
    this.#line = "";
    return line.endsWith("\r") && this.#acceptLine(line.slice(0, -1));
  }

  #acceptLine(line: string): boolean {
    if (this.#left === 0) {
      if (line.startsWith("-") || line === "+OK") return true;
      if (!this.#isSubscriber) return /^:\d{1,15}$/.test(line);
      if (line !== "*3") return false;
      this.#left = 3;
      this.#place = 0;
      return true;
    }
    // subscribe: two strings and a number; message: three strings.
    if (this.#place === 2 && /^:\d{1,15}$/.test(line)) return this.#partDone();
    const [, digits] = /^\$(\d{1,4})$/.exec(line) ?? [];
    const length = Number(digits ?? Number.NaN);
    if (!(length <= MAX_BYTES)) return false;
    this.#expecting = { line: false, left: length + 2 };
    return true;
  }

  #partDone(): boolean {
    this.#place += 1;
    this.#left -= 1;
    return true;
  }
}
