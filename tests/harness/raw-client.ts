/** A stranger on the wire: raw connections to a port, and real ClientHellos to send on them. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** A connected socket whose errors are swallowed and whose input is discarded. */
export async function knock(target: Target, first?: Uint8Array): Promise<Socket> {
  const socket = connect({ ...target, noDelay: true, allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", () => {});
  socket.resume();
  if (first !== undefined) socket.write(first);
  return socket;
}

/** The first flight of a TLS client: one ClientHello, with or without a server name. */
export async function clientHello(serverName?: string): Promise<Buffer> {
  const flight = Promise.withResolvers<Buffer>();
  const sink = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      flight.resolve(chunk);
      done();
    },
  });
  const named = serverName === undefined ? {} : { servername: serverName };
  const tls = connectTls({ socket: sink, minVersion: "TLSv1.3", ...named });
  tls.on("error", () => {});
  const hello = await flight.promise;
  tls.destroy();
  return hello;
}
