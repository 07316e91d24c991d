/** The looks at first bytes, on real sockets: a stall of the process that looks is no silence of whoever speaks. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect, it } from "vitest";
import { HelloPeek } from "../../../control/rpc/hello-peek.ts";
import { type Clock, systemClock } from "../../../lib/clock.ts";
import { Peeker, peekLimits } from "../../../relay/peek.ts";

const deadlineMs = 40;
const stallMs = 4 * deadlineMs;

/** The deadlines of whoever looks, however long they are, are over within the stall. */
const soon: Clock = {
  ...systemClock,
  after: (_delayMs, fn, options) => systemClock.after(deadlineMs, fn, options),
  afterReading: (_delayMs, fn) => systemClock.afterReading(deadlineMs, fn),
};

/** A connection on loopback, nothing of it read; its client; and what ends both. */
async function connection(): Promise<{ server: Socket; client: Socket; [Symbol.dispose]: () => void }> {
  const listener = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const accepted = once(listener, "connection");
  const client = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  const [server] = (await accepted) as [Socket];
  const end = (): void => {
    client.destroy();
    server.destroy();
    listener.close();
  };
  return { server, client, [Symbol.dispose]: end };
}

/** The first bytes of a TLS client. */
async function helloBytes(): Promise<Buffer> {
  using pair = await connection();
  const tls = connectTls({ socket: pair.client, servername: "entry.example" });
  tls.on("error", () => {});
  pair.server.resume();
  const [hello] = (await once(pair.server, "data")) as [Buffer];
  return hello;
}

type Look = (socket: Socket, tell: (what: string) => void) => void;
const looks: readonly [string, Look][] = [
  [
    "a node's public port",
    (socket, tell) => {
      const peeker = new Peeker({ clock: soon, limits: { ...peekLimits, deadlineMs }, onRefused: tell });
      peeker.look(socket, ({ kind }) => tell(kind));
    },
  ],
  [
    "control's ports",
    (socket, tell) =>
      new HelloPeek(soon, tell).look(socket, ({ serverName }) => tell(serverName === undefined ? "" : "hello")),
  ],
];

it.each(looks)("LAW-R3 %s hears a hello that came in time, though nobody read it in time", async (_where, look) => {
  const hello = await helloBytes();
  using pair = await connection();
  // In the server's buffers before anybody looks.
  await new Promise<void>((resolve) => pair.client.write(hello, () => resolve()));
  const told = new Promise<string>((resolve) => look(pair.server, resolve));
  // The deadline is over before the first turn that could read.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
  expect(await told).toBe("hello");
});

it.each(looks)("LAW-R3 %s turns away who says nothing until the deadline", async (_where, look) => {
  using pair = await connection();
  expect(await new Promise<string>((resolve) => look(pair.server, resolve))).toBe("deadline");
  expect(pair.server.destroyed).toBe(true);
});
