/**
 * Everything this process receives over the network while somebody listens: bytes as streams give them out (decrypted, and out
 * of HTTP/2), headers and trailers as HTTP/2 decoded them, and the certificates servers showed.
 */

import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { TLSSocket } from "node:tls";

export interface Overheard {
  /** Where a text was heard, or undefined. Looked for as it is, in base64 and in hex. */
  find(text: string): string | undefined;
  readonly bytes: number;
  stop(): void;
}

/** Pipes to children and files are no network. */
function isNetwork(stream: object): boolean {
  if (stream instanceof Socket) return stream.remotePort !== undefined;
  return stream.constructor.name.endsWith("Http2Stream");
}

/** Listens until `stop`. One at a time. */
export function overhear(): Overheard {
  const heard: { readonly what: string; readonly bytes: Buffer }[] = [];
  const push = Readable.prototype.push;
  const emit = EventEmitter.prototype.emit;
  Readable.prototype.push = function (this: Readable, chunk: unknown, encoding?: BufferEncoding): boolean {
    if (Buffer.isBuffer(chunk) && isNetwork(this)) heard.push({ what: "bytes", bytes: Buffer.from(chunk) });
    return push.call(this, chunk, encoding);
  };
  EventEmitter.prototype.emit = function (this: EventEmitter, event: string | symbol, ...args: unknown[]): boolean {
    if (["headers", "response", "trailers"].includes(String(event)) && isNetwork(this))
      heard.push({ what: String(event), bytes: Buffer.from(JSON.stringify(args[0])) });
    if (event === "secureConnect" && this instanceof TLSSocket) {
      const certificate = this.getPeerX509Certificate();
      if (certificate !== undefined) heard.push({ what: "certificate", bytes: Buffer.from(certificate.raw) });
    }
    return emit.call(this, event, ...args);
  };
  return {
    get bytes() {
      return heard.reduce((sum, { bytes }) => sum + bytes.length, 0);
    },
    find(text) {
      const plain = Buffer.from(text);
      // What base64 makes of it depends on where it stands: the part that does not is searched for.
      const shifts = [0, 1, 2].map((shift) => {
        const coded = Buffer.concat([Buffer.alloc(shift), plain])
          .toString("base64")
          .replace(/=+$/, "");
        return Buffer.from(coded.slice(shift === 0 ? 0 : 4, -4));
      });
      const forms = [plain, Buffer.from(plain.toString("hex")), ...shifts.filter(({ length }) => length >= 8)];
      const all = Buffer.concat(heard.map(({ bytes }) => bytes));
      if (!forms.some((form) => all.includes(form))) return undefined;
      const one = heard.find(({ bytes }) => forms.some((form) => bytes.includes(form)));
      return one === undefined ? "in pieces" : `${one.what}: ${one.bytes.toString("latin1").slice(0, 300)}`;
    },
    stop() {
      Readable.prototype.push = push;
      EventEmitter.prototype.emit = emit;
    },
  };
}
