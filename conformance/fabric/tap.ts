/**
 * A wire somebody sits on: every connection to a port passes through here, its bytes searched, and on demand altered. What a
 * relay or anybody on its network could do without a key (LAW-T5).
 */

import { connect, createServer, type Server, type Socket } from "node:net";

export interface Tap {
  readonly port: number;
  /** Bytes that passed. */
  seenBytes(): number;
  /** How often the text passed in clear. */
  found(): number;
  /** Looks for another text from now on. */
  searchFor(text: string): void;
  /** Alters one byte of the next chunk of bulk on each connection. */
  alter(): void;
  /** How many bytes were altered so far. */
  altered(): number;
  close(): Promise<void>;
}

/** Only what carries bulk: signalling of links is left alone, so that the path is what is hurt. */
const bulkMinBytes = 8_192;

/** Listens on loopback and passes everything on to `targetPort`. */
export async function openTap(targetPort: number): Promise<Tap> {
  const sockets = new Set<Socket>();
  let seenBytes = 0;
  let found = 0;
  let wanted: Buffer | undefined;
  let round = 0;
  let altered = 0;
  const server: Server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ host: "127.0.0.1", port: targetPort, noDelay: true, allowHalfOpen: true });
    let alteredIn = round;
    const pass = (from: Socket, to: Socket): void => {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        seenBytes += chunk.length;
        if (wanted !== undefined && chunk.includes(wanted)) found += 1;
        if (alteredIn < round && chunk.length >= bulkMinBytes) {
          alteredIn = round;
          altered += 1;
          chunk[chunk.length >> 1] = (chunk[chunk.length >> 1] ?? 0) ^ 0x01;
        }
        if (!to.write(chunk)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
      from.once("end", () => to.end());
      from.once("error", () => to.destroy());
      from.once("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    };
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    seenBytes: () => seenBytes,
    found: () => found,
    searchFor(text) {
      wanted = Buffer.from(text);
      found = 0;
    },
    alter() {
      round += 1;
    },
    altered: () => altered,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
