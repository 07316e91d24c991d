import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { resetSocket } from "../../../lib/reset-socket.ts";

let server: Server;
const accepted: Socket[] = [];
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on("error", () => {});
    accepted.push(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  server.close();
  for (const socket of accepted.splice(0)) socket.destroy();
});

function dial(): Socket {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  return socket;
}

/** Not `once`, which takes an error for a failure. */
const closeOf = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

const descriptors = (): number => readdirSync("/proc/self/fd").length;

describe("resetting a socket", () => {
  it.each([
    ["that is quiet", (): void => {}],
    ["whose end is on its way", (socket: Socket): void => void socket.end()],
    ["whose end waits behind bytes", (socket: Socket): void => void socket.end(Buffer.alloc(8 * 1_024 * 1_024))],
  ])("%s closes it and its descriptor", async (_, before) => {
    const socket = dial();
    await once(socket, "connect");
    const open = descriptors();
    before(socket);
    const closed = closeOf(socket);
    resetSocket(socket);
    await closed;
    expect(socket.destroyed).toBe(true);
    expect(descriptors()).toBeLessThan(open);
  });

  it("that is still being connected closes it too", async () => {
    const socket = dial();
    const closed = closeOf(socket);
    resetSocket(socket);
    await closed;
    expect(socket.destroyed).toBe(true);
  });

  it("twice is once", async () => {
    const socket = dial();
    await once(socket, "connect");
    const closed = closeOf(socket);
    resetSocket(socket);
    resetSocket(socket);
    await closed;
  });
});
