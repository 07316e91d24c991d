/** Message resources through a real fabric: entry, relay and egress as processes, stock clients, targets on TCP and Unix. */

import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MessageDeframer, writeMessageHead } from "../../../fabric/trunk/message-frames.ts";
import { AccessService, type ConnectResponse } from "../../../gen/weft/access/v1/access_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type StockFiles, sharedFabric, type TestFabric } from "../../harness/fabric.ts";
import { freePort } from "../../harness/loopback.ts";
import {
  connectOutcome,
  dataMessage,
  dialStock,
  openDuplex,
  openMessage,
  statusOf,
  writeAll,
} from "../../harness/stock-grpc.ts";

const framed = (message: Uint8Array): Buffer => {
  const out = Buffer.alloc(4 + message.length);
  out.set(message, writeMessageHead(out, 0, message.length));
  return out;
};
const hold = (socket: Socket): Socket => socket.on("error", () => {});

const servers: Record<"tcp" | "unix" | "droppable" | "oversize" | "truncated", Server> = {
  tcp: createServer({ allowHalfOpen: true }, (socket) => void hold(socket).pipe(socket)),
  unix: createServer({ allowHalfOpen: true }, (socket) => void hold(socket).pipe(socket)),
  droppable: createServer({ allowHalfOpen: true }, (socket) => void hold(socket).pipe(socket)),
  oversize: createServer((socket) => void hold(socket).write(Buffer.from([0, 1, 0, 1]))),
  truncated: createServer((socket) => void hold(socket).end(Buffer.from([0, 0, 0, 9, 1]))),
};

let world: TestFabric;
let client: StockFiles;
beforeAll(async () => {
  world = await sharedFabric();
  client = await world.addClient("messenger");
  const sockets = join(world.fabric.root, "sockets");
  mkdirSync(sockets);
  for (const [name, server] of Object.entries(servers)) {
    if (name === "unix") server.listen(join(sockets, "target.sock"));
    else server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const to = name === "unix" ? ["--unix", join(sockets, "target.sock")] : ["--target", targetOf(server)];
    const pool = ["--pool", "demo-exit", "--kind", "message", "--class", name === "droppable" ? name : "bulk"];
    const added = await world.weft("resource", "add", `messages-${name}`, ...pool, ...to);
    if (added.code !== 0) throw new Error(added.stderr);
  }
  await Promise.all(Object.keys(servers).map((name) => known(`messages-${name}`)));
}, fabricWithinMs);
afterAll(async () => {
  for (const server of Object.values(servers)) server.close();
}, fabricWithinMs);

const targetOf = (server: Server): string => `127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Waits until the entry and the egresses have a resource in their snapshots. */
async function known(resource: string): Promise<void> {
  const unknown: readonly number[] = [status.NOT_FOUND, status.PERMISSION_DENIED];
  await eventually(
    async () => !unknown.includes((await connectOutcome(world.publicAddress("entry-1"), client, resource)).code),
    { withinMs: 15_000, everyMs: 100, what: `resource ${resource}` },
  );
}

interface Exchange {
  readonly code: number;
  readonly details: string;
  readonly got: readonly Buffer[];
}

/** Sends messages through AccessService as a stock client and collects what comes back. */
async function exchange(resource: string, sent: readonly Uint8Array[]): Promise<Exchange> {
  const grpc = dialStock(world.publicAddress("entry-1"), client);
  const call = openDuplex(grpc, AccessService.method.connect);
  const got: Buffer[] = [];
  call.on("data", ({ message }: ConnectResponse) => {
    if (message.case === "data") got.push(Buffer.from(message.value));
  });
  const ended = statusOf(call);
  await writeAll(call, [openMessage(resource), ...sent.map(dataMessage)]);
  const { code, details } = await ended;
  grpc.close();
  return { code, details, got };
}

describe("a message resource through the fabric", () => {
  it.each(["tcp", "unix"])("keeps the boundaries of a stock client's messages to a %s target", async (name) => {
    const sent = ["one", "", "x".repeat(limits.messageMaxBytes), "last"].map((text) => Buffer.from(text));
    const { code, got } = await exchange(`messages-${name}`, sent);
    expect(code).toBe(status.OK);
    expect(got.map((message) => message.toString())).toEqual(sent.map((message) => message.toString()));
  });

  it("carries 64-byte messages in bulk", async () => {
    const sent = Array.from({ length: 5_000 }, (_, at) => {
      const message = Buffer.alloc(64, at);
      message.writeUInt32LE(at);
      return message;
    });
    const { code, got } = await exchange("messages-tcp", sent);
    expect([code, got.length]).toEqual([status.OK, sent.length]);
    expect(got.every((message, at) => message.equals(sent[at] as Buffer))).toBe(true);
  });

  it("carries droppable messages whole and in order, and says when one is too long to be dropped", async () => {
    const sent = Array.from({ length: 200 }, (_, at) => Buffer.from(`message ${at} ${"x".repeat(at)}`));
    const { code, got } = await exchange("messages-droppable", sent);
    expect(code).toBe(status.OK);
    // Everybody keeps up with this little: nothing has to go.
    expect(got.map((message) => message.toString())).toEqual(sent.map((message) => message.toString()));
    const long = await exchange("messages-droppable", [Buffer.alloc(limits.droppableMessageMaxBytes + 1)]);
    expect([long.code, long.got]).toEqual([status.RESOURCE_EXHAUSTED, []]);
  });

  it.each([
    ["oversize", status.RESOURCE_EXHAUSTED, "a message is longer than the fabric carries"],
    ["truncated", status.DATA_LOSS, "a side ended in the middle of a message"],
  ])("says what was wrong with a target's messages: %s", async (name, code, text) => {
    const outcome = await connectOutcome(world.publicAddress("entry-1"), client, `messages-${name}`);
    expect([outcome.code, outcome.metadata["stage"]]).toEqual([code, "TARGET"]);
    expect(outcome.message).toContain(text);
  });
});

describe("a plain TCP client of a message resource's listener", () => {
  let port = 0;
  beforeAll(async () => {
    // The port was free a moment ago; when somebody else took it, another one is tried.
    for (let attempt = 1; ; attempt += 1) {
      port = await freePort();
      const where = ["--resource", "messages-unix", "--entry", "entry-1", "--port", String(port)];
      const added = await world.weft("listener", "add", `messages-${attempt}`, ...where);
      if (added.code !== 0) throw new Error(added.stderr);
      try {
        await eventually(async () => (await echoed(Buffer.alloc(0), false)) !== undefined, {
          everyMs: 100,
          withinMs: 10_000,
        });
        return;
      } catch (thrown) {
        if (attempt === 3) throw thrown;
      }
    }
  }, 60_000);

  /** What comes back for `bytes`, or undefined when the connection was reset. */
  function echoed(bytes: Buffer, dribble: boolean): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      const socket = connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.once("end", () => resolve(Buffer.concat(chunks)));
      socket.once("error", () => resolve(undefined));
      socket.setTimeout(5_000, () => socket.destroy(new Error("no answer")));
      socket.once("connect", async () => {
        if (dribble) for (const byte of bytes) await new Promise((next) => socket.write(Buffer.of(byte), next));
        else socket.write(bytes);
        socket.end();
      });
    });
  }

  it("speaks messages behind their lengths, dribbled byte by byte", async () => {
    const sent = Buffer.concat(["first", "", "third"].map((text) => framed(Buffer.from(text))));
    const back = (await echoed(sent, true)) as Buffer;
    const got: string[] = [];
    new MessageDeframer(limits.messageMaxBytes, (message) => got.push(message.toString())).push(back);
    expect(got).toEqual(["first", "", "third"]);
  });

  it("is reset when it sends what is no message", async () => {
    expect(await echoed(Buffer.from([0xff, 0, 0, 0]), false)).toBeUndefined();
    expect(await echoed(Buffer.from([0, 0, 0, 5, 1]), false)).toBeUndefined();
  });
});
