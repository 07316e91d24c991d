/** Message resources between two real edges: pipes to TCP and Unix targets, plain clients, and channels message by message. */

import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { MessageChannel } from "../../edge/message-channel.ts";
import { pipeToSource } from "../../edge/pipe-source.ts";
import { pipeToTarget } from "../../edge/pipe-target.ts";
import { MessageDeframer, writeMessageHead } from "../../fabric/trunk/message-frames.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { eventually } from "../harness/eventually.ts";
import { makeTrunks, type Trunks } from "../unit/node/roles/channel-pair.ts";

const framed = (...messages: (string | Uint8Array)[]): Buffer =>
  Buffer.concat(
    messages.map((message) => {
      const bytes = Buffer.from(message);
      const out = Buffer.alloc(4 + bytes.length);
      out.set(bytes, writeMessageHead(out, 0, bytes.length));
      return out;
    }),
  );
const announcing = (length: number): Buffer => {
  const head = Buffer.alloc(4);
  writeMessageHead(head, 0, length);
  return head;
};

let trunks: Trunks;
let scratch: string;
/** What a target does with its connection; set by each test. */
let serve: (socket: Socket) => void = (socket) => void socket.pipe(socket);
const servers: Record<"tcp" | "unix" | "entry", Server> = {
  tcp: createServer({ allowHalfOpen: true }, (socket) => serve(socket.on("error", () => {}))),
  unix: createServer({ allowHalfOpen: true }, (socket) => serve(socket.on("error", () => {}))),
  entry: createServer({ allowHalfOpen: true }),
};
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "weft-messages-"));
  trunks = await makeTrunks();
  servers.tcp.listen(0, "127.0.0.1");
  servers.entry.listen(0, "127.0.0.1");
  servers.unix.listen(join(scratch, "target.sock"));
  await Promise.all(Object.values(servers).map((server) => server.listening || once(server, "listening")));
});
afterAll(async () => {
  await trunks.close();
  for (const server of Object.values(servers)) server.close();
  rmSync(scratch, { recursive: true, force: true });
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

interface Joined {
  readonly near: EdgeChannel;
  readonly target: Socket;
}

/** A channel whose far end is joined with a target as an egress does it. */
async function joined(kind: "tcp" | "unix", channelClass: ChannelClass = ChannelClass.BULK): Promise<Joined> {
  const { near, far } = await trunks.open({ class: channelClass });
  const to = kind === "tcp" ? { host: "127.0.0.1", port: portOf(servers.tcp) } : { path: join(scratch, "target.sock") };
  const target = connect({ ...to, allowHalfOpen: true });
  await once(target, "connect");
  far.accept();
  pipeToTarget(far, target, true);
  await near.opened;
  return { near, target };
}

interface Talk {
  readonly messages: MessageChannel;
  readonly got: Buffer[];
  ended: boolean;
  error: WeftError | undefined;
}

function talk(near: EdgeChannel): Talk {
  const got: Buffer[] = [];
  const seen: Talk = {
    messages: new MessageChannel(near, (m) => got.push(Buffer.from(m))),
    got,
    ended: false,
    error: undefined,
  };
  near.once("end", () => (seen.ended = !near.destroyed));
  near.once("error", (error) => (seen.error = error as WeftError));
  return seen;
}

const errorOf = (seen: Talk): Promise<WeftError> => eventually(() => seen.error, { what: "the channel's error" });

describe.each(["tcp", "unix"] as const)("messages to a %s target", (kind) => {
  it("keep their boundaries both ways, empty ones too, and end in order", async () => {
    serve = (socket) => void socket.pipe(socket);
    const seen = talk((await joined(kind)).near);
    const sent = ["hello", "", "x".repeat(limits.messageMaxBytes), "bye"];
    for (const message of sent) seen.messages.send(Buffer.from(message));
    seen.messages.end();
    await eventually(() => seen.ended, { what: "the end" });
    expect(seen.got.map(String)).toEqual(sent);
    expect(seen.error).toBeUndefined();
  });

  it("arrive whole from a target that dribbles byte by byte", async () => {
    const answer = framed("one", "", "three");
    serve = (socket) => {
      socket.setNoDelay(true);
      void (async () => {
        for (const byte of answer) {
          socket.write(Buffer.of(byte));
          await new Promise(setImmediate);
        }
        socket.end();
      })();
    };
    const seen = talk((await joined(kind)).near);
    seen.messages.end();
    await eventually(() => seen.ended, { what: "the end" });
    expect(seen.got.map(String)).toEqual(["one", "", "three"]);
  });

  it("still come after the client has half-closed", async () => {
    serve = (socket) => {
      const asked: string[] = [];
      const deframer = new MessageDeframer(limits.messageMaxBytes, (message) => asked.push(String(message)));
      socket.on("data", (chunk: Buffer) => void deframer.push(chunk));
      socket.once("end", () => socket.end(framed(`you sent ${asked.length}`, "done")));
    };
    const seen = talk((await joined(kind)).near);
    seen.messages.send(Buffer.from("a"));
    seen.messages.send(Buffer.from("b"));
    seen.messages.end();
    await eventually(() => seen.ended, { what: "the end" });
    expect(seen.got.map(String)).toEqual(["you sent 2", "done"]);
  });
});

describe("LAW-T1 a stream that is no messages ends with an error that says so", () => {
  it("a message beyond the bound is refused where it is sent, and the channel lives", async () => {
    serve = (socket) => void socket.pipe(socket);
    const seen = talk((await joined("tcp")).near);
    expect(() => seen.messages.send(Buffer.alloc(limits.messageMaxBytes + 1))).toThrow(
      expect.objectContaining({ reason: "resource_exhausted", detail: "MESSAGE_TOO_LARGE" }),
    );
    seen.messages.send(Buffer.from("still here"));
    seen.messages.end();
    await eventually(() => seen.ended, { what: "the end" });
    expect(seen.got.map(String)).toEqual(["still here"]);
  });

  it("a target that announces too long a message", async () => {
    serve = (socket) => void socket.write(announcing(limits.messageMaxBytes + 1));
    const { near, target } = await joined("tcp");
    const error = await errorOf(talk(near));
    expect(error).toMatchObject({ reason: "resource_exhausted", detail: "MESSAGE_TOO_LARGE" });
    expect(error.metadata["stage"]).toBe("TARGET");
    await eventually(() => target.destroyed, { what: "the target's socket" });
  });

  it.each([
    ["its length", Buffer.from([0, 0])],
    ["its body", framed("whole").subarray(0, 6)],
  ])("a target that ends inside %s", async (_where, bytes) => {
    serve = (socket) => void socket.end(bytes);
    const { near } = await joined("unix");
    const error = await errorOf(talk(near));
    expect(error).toMatchObject({ reason: "data_loss", detail: "MESSAGE_TRUNCATED" });
    expect(error.metadata["stage"]).toBe("TARGET");
  });

  it.each([
    ["announces too long a message", announcing(0xffff_ffff), false, "MESSAGE_TOO_LARGE"],
    ["ends inside a message", framed("whole").subarray(0, 6), true, "MESSAGE_TRUNCATED"],
  ])("an opener that %s is told by the egress, and the target is reset", async (_what, bytes, ends, detail) => {
    let targetError: NodeJS.ErrnoException | undefined;
    serve = (socket) => {
      socket.removeAllListeners("error");
      socket.on("error", (error) => (targetError = error));
      socket.resume();
    };
    const { near } = await joined("tcp");
    near.resume();
    const failed = once(near, "error") as Promise<[WeftError]>;
    near.write(bytes);
    if (ends) near.end();
    const [error] = await failed;
    expect(error.detail).toBe(detail);
    expect(error.metadata["stage"]).toBe("EGRESS");
    await eventually(() => targetError?.code === "ECONNRESET", { what: "the target's reset" });
  });
});

/** A plain TCP client of an entry's listener, joined with a channel to the echoing target. */
async function plainClient(): Promise<{ client: Socket; near: EdgeChannel }> {
  serve = (socket) => void socket.pipe(socket);
  const { near } = await joined("tcp");
  const arriving = once(servers.entry, "connection") as Promise<[Socket]>;
  const client = connect({ port: portOf(servers.entry), host: "127.0.0.1", allowHalfOpen: true });
  client.on("error", () => {});
  const [source] = await arriving;
  pipeToSource(near, source, true);
  return { client, near };
}

describe("a plain TCP client of a message resource", () => {
  it("speaks messages behind their lengths, one byte at a time if it likes", async () => {
    const { client } = await plainClient();
    const chunks: Buffer[] = [];
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    const sent = framed("first", "", "third");
    for (const byte of sent) {
      client.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    client.end();
    await once(client, "end");
    expect(Buffer.concat(chunks).equals(sent)).toBe(true);
  });

  it.each([
    ["announces too long a message", announcing(limits.messageMaxBytes + 1), false, "MESSAGE_TOO_LARGE"],
    ["ends inside a message", Buffer.from([0]), true, "MESSAGE_TRUNCATED"],
  ])("is reset when it %s, and the channel says why", async (_what, bytes, ends, detail) => {
    const { client, near } = await plainClient();
    const failed = once(near, "error") as Promise<[WeftError]>;
    let clientError: NodeJS.ErrnoException | undefined;
    client.on("error", (thrown) => (clientError = thrown));
    client.write(bytes);
    if (ends) client.end();
    const [error] = await failed;
    expect([error.detail, error.metadata["stage"]]).toEqual([detail, "ENTRY"]);
    await eventually(() => clientError?.code === "ECONNRESET", { what: "the client's reset" });
  });
});

describe("a droppable channel to a target that reads nothing", () => {
  it("never makes its writer wait, and what arrives later is whole and in order", async () => {
    let target: Socket | undefined;
    serve = (socket) => {
      target = socket.pause();
    };
    const { near } = await joined("tcp", ChannelClass.DROPPABLE);
    const { messages } = talk(near);
    const count = 20_000;
    const message = Buffer.alloc(1_024);
    for (let i = 0; i < count; i += 1) {
      message.writeUInt32LE(i);
      messages.send(message);
      if (i % 32 === 31) await new Promise(setImmediate);
    }
    await eventually(() => near.stats().droppedCount > 0, { what: "messages to be dropped" });
    const ids: number[] = [];
    const deframer = new MessageDeframer(limits.messageMaxBytes, (arrived) => ids.push(arrived.readUInt32LE()));
    (target as Socket).on("data", (chunk: Buffer) => void deframer.push(chunk)).resume();
    await eventually(() => ids.at(-1) === count - 1, { what: "the newest message" });
    expect(ids.length + near.stats().droppedCount).toBe(count);
    expect(ids.every((id, at) => at === 0 || id > (ids[at - 1] as number))).toBe(true);
    near.destroy();
  });

  it("refuses a message beyond its own bound", async () => {
    serve = (socket) => void socket.resume();
    const { near } = await joined("tcp", ChannelClass.DROPPABLE);
    const { messages } = talk(near);
    expect(() => messages.send(Buffer.alloc(limits.droppableMessageMaxBytes + 1))).toThrow(
      expect.objectContaining({ detail: "MESSAGE_TOO_LARGE" }),
    );
    const failed = once(near, "error") as Promise<[WeftError]>;
    near.write(announcing(limits.droppableMessageMaxBytes + 1));
    expect((await failed)[0].detail).toBe("MESSAGE_TOO_LARGE");
  });
});

describe("small messages in bulk", () => {
  it("all arrive, in order, with their boundaries", async () => {
    serve = (socket) => void socket.pipe(socket);
    const { near } = await joined("tcp");
    const count = 50_000;
    let next = 0;
    let wrong = 0;
    const messages = new MessageChannel(near, (message) => {
      if (message.length !== 64 || message.readUInt32LE(60) !== next) wrong += 1;
      next += 1;
    });
    const message = Buffer.alloc(64);
    for (let i = 0; i < count; i += 1) {
      message.writeUInt32LE(i, 60);
      if (!messages.send(message)) await once(near, "drain");
    }
    messages.end();
    await eventually(() => next === count, { what: "every message", withinMs: 20_000 });
    expect(wrong).toBe(0);
  });
});
