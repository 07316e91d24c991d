/** TLS handshakes by whoever likes, and what sessions could be resumed by. */

import { type ConnectionOptions, connect } from "node:tls";

export interface Shaken {
  readonly secured: boolean;
  /** It resumed a session. */
  readonly reused: boolean;
  readonly sessions: readonly Buffer[];
}

/** Shakes hands at a port of loopback, takes every ticket that comes until the peer has spoken, and leaves. Never rejects. */
export function shake(port: number, more: ConnectionOptions): Promise<Shaken> {
  return new Promise((resolve) => {
    const sessions: Buffer[] = [];
    let [secured, reused] = [false, false];
    const options = { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
    const socket = connect({ ...options, ...more }).on("error", () => {});
    socket.on("session", (session: Buffer) => sessions.push(session));
    const over = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ secured, reused, sessions });
    };
    const timer = setTimeout(over, 3_000);
    socket.once("secureConnect", () => {
      [secured, reused] = [true, socket.isSessionReused()];
      // HTTP/2 speaks first once the peer was judged: everything the handshake brings has come then.
      socket.once("data", () => {
        const session = socket.getSession();
        if (session !== undefined) sessions.push(session);
        setImmediate(over);
      });
    });
    // A peer that refuses once its handshake is over ends, over a socket given to it without closing.
    socket.once("end", () => setImmediate(over)).once("close", over);
  });
}
