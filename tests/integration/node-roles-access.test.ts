import { once } from "node:events";
import http2, { type ClientHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../edge/channel.ts";
import { channelError } from "../../edge/channel-error.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { serveAccess } from "../../node/roles/access-service.ts";
import type { ChannelWish, EntryRole } from "../../node/roles/entry.ts";
import type { Caller } from "../../rpc/caller.ts";
import { Call, data, framed, halfClose, open } from "../harness/access-call.ts";
import { eventually, throughout } from "../harness/eventually.ts";
import { makeTrunks, type Trunks } from "../unit/node/roles/channel-pair.ts";
import { selfId, snapshotWith, testPorts } from "../unit/node/stage.ts";

const ports = testPorts(snapshotWith({ clients: [{ clientId: "ct-1", organizationId: "org-1" }] }));
const caller: Caller = {
  kind: "client",
  id: { trustDomain: "weft.test", clusterId: "cl-a", kind: "client", id: "ct-1" },
  spiffe: "spiffe://weft.test/cluster/cl-a/client/ct-1",
  sourceAddress: "192.0.2.7",
  arrivedBy: "client-name",
};

let trunks: Trunks;
let calling: Caller = caller;
/** What the entry does with a wish; by default a real channel whose far end is accepted at once. */
let openChannel: (wish: ChannelWish) => Promise<EdgeChannel>;
let fars: EdgeChannel[] = [];
const wishes: ChannelWish[] = [];

const accepting = async (): Promise<EdgeChannel> => {
  const { near, far } = await trunks.open();
  fars.push(far);
  far.accept();
  return near;
};

const entry = {
  open: (wish: ChannelWish) => {
    wishes.push(wish);
    return openChannel(wish);
  },
} as unknown as EntryRole;
const server = http2.createServer();
server.on("stream", (stream, headers) =>
  serveAccess(ports, entry)(stream as ServerHttp2Stream, headers, calling, "req-1"),
);
let session: ClientHttp2Session;

beforeAll(async () => {
  trunks = await makeTrunks();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(() => {
  calling = caller;
  openChannel = accepting;
  fars = [];
  wishes.length = 0;
});
afterAll(async () => {
  session.destroy();
  server.close();
  await trunks.close();
});
openChannel = accepting;

const collect = (channel: EdgeChannel): { text: string; ended: boolean } => {
  const seen = { text: "", ended: false };
  channel.on("data", (chunk: Buffer) => (seen.text += chunk.toString("latin1")));
  channel.on("end", () => (seen.ended = true));
  return seen;
};

describe("AccessService/Connect", () => {
  it("carries a channel both ways and ends with status 0", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const [far] = fars as [EdgeChannel];
    const seen = collect(far);
    call.send(data("ques"), data("tion"));
    await eventually(() => seen.text === "question");
    far.write("answer");
    await eventually(() => call.text === "answer");
    call.send(halfClose);
    await eventually(() => seen.ended);
    far.end(" and more");
    expect(await call.status()).toBe("0");
    expect(call.text).toBe("answer and more");
    expect(call.kinds.at(-1)).toBe("halfClosed");
    call.stream.end();
    await eventually(() => call.closed);
  });

  it("asks the entry in the client's own name, as asserted by this node", async () => {
    const call = new Call(session).send({ case: "open", value: { resource: "db", class: ChannelClass.BULK } });
    await call.opened();
    expect(wishes[0]).toMatchObject({
      resource: "db",
      organizationId: "org-1",
      class: ChannelClass.BULK,
      origin: {
        assurance: OriginAssurance.ENTRY_ASSERTED,
        clientId: "ct-1",
        entryNodeId: selfId,
        listenerId: "",
        sourceAddress: "192.0.2.7",
      },
    });
    call.stream.close();
  });

  it("LAW-R3 a caller that never says what it wants is ended", async () => {
    const silent = new Call(session).send();
    const asking = new Call(session).send(open);
    await asking.opened();
    // The headers of both calls have arrived: their streams are served in order.
    ports.clock.advance(limits.accessFirstMessageMs);
    expect(await silent.failure()).toMatchObject({ code: 4, detail: "ACCESS_OPEN_LATE" });
    await throughout(100, () => asking.trailers === undefined);
    asking.stream.close();
  });

  it("an open that finds no path in a few seconds fails as one without a path", async () => {
    openChannel = ({ signal }) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(new WeftError("canceled", "the caller gave up")));
      });
    const call = new Call(session).send(open);
    await eventually(() => wishes.length === 1);
    ports.clock.advance(limits.channelOpenMaxMs);
    expect(await call.failure()).toMatchObject({ detail: "NO_PATH", metadata: { stage: "FABRIC" } });
  });

  it("takes what comes in the same chunk as the open, and an end of the stream for a half-close", async () => {
    const call = new Call(session);
    call.stream.end(framed(open, data("early"), data("bird")));
    await call.opened();
    const seen = collect(fars[0] as EdgeChannel);
    await eventually(() => seen.ended);
    expect(seen.text).toBe("earlybird");
    fars[0]?.end();
    expect(await call.status()).toBe("0");
  });

  it("keeps the half-close of the target: the client may go on", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const [far] = fars as [EdgeChannel];
    const seen = collect(far);
    far.end();
    await eventually(() => call.kinds.at(-1) === "halfClosed");
    call.send(data("still here"), halfClose);
    await eventually(() => seen.ended && seen.text === "still here");
    expect(await call.status()).toBe("0");
    call.stream.end();
  });

  it("cuts what a target sends into messages of at most 64 KiB, none lost", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const bytes = 5 * 64 * 1024 + 17;
    fars[0]?.end(Buffer.alloc(bytes, "z"));
    await eventually(() => call.text.length === bytes);
    const longest = Math.max(
      ...call.messages.map(({ message }) => (message.case === "data" ? message.value.length : 0)),
    );
    expect(longest).toBeLessThanOrEqual(limits.accessMessageMaxBytes);
    call.stream.close();
  });
});

describe("AccessService/Connect refuses", () => {
  const INVALID = 3;
  const tooLong = Buffer.alloc(limits.accessMessageMaxBytes + 1);
  it.each<[string, Buffer, number, string]>([
    ["data before open", framed(data("x")), INVALID, "ACCESS_OPEN_FIRST"],
    ["a half-close before open", framed(halfClose), INVALID, "ACCESS_OPEN_FIRST"],
    ["an empty message before open", framed({ case: undefined }), INVALID, "ACCESS_OPEN_FIRST"],
    ["a second open", framed(open, open), INVALID, "ACCESS_OPEN_TWICE"],
    ["data after half-close", framed(open, halfClose, data("x")), INVALID, "ACCESS_AFTER_HALF_CLOSE"],
    ["bytes that are no message", Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]), INVALID, "ACCESS_MESSAGE"],
    ["a message that is too long", framed(open, data(tooLong)), 8, "ACCESS_MESSAGE"],
    ["a compressed message", Buffer.from([1, 0, 0, 0, 0]), 8, "ACCESS_MESSAGE"],
  ])("%s", async (_what, bytes, code, detail) => {
    const call = new Call(session);
    call.stream.write(bytes);
    expect(await call.failure()).toMatchObject({ code, detail });
    call.stream.end();
    await eventually(() => call.closed);
    await eventually(() => fars.every((far) => far.destroyed), { what: "no channel left" });
  });

  it("a stream that ends inside a message, or before anything", async () => {
    const cut = new Call(session);
    cut.stream.end(framed(open).subarray(0, 7));
    expect(await cut.failure()).toMatchObject({ code: INVALID, detail: "ACCESS_TRUNCATED" });
    const empty = new Call(session);
    empty.stream.end();
    expect(await empty.failure()).toMatchObject({ code: INVALID, detail: "ACCESS_OPEN_FIRST" });
  });

  it("a message of exactly the limit is no offence", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const seen = collect(fars[0] as EdgeChannel);
    call.send(data(Buffer.alloc(limits.accessMessageMaxBytes, "a")));
    await eventually(() => seen.text.length === limits.accessMessageMaxBytes);
    call.stream.close();
  });

  it("a client this node's snapshot does not know, without asking the entry", async () => {
    calling = { ...caller, id: { trustDomain: "weft.test", clusterId: "cl-a", kind: "client", id: "ct-9" } };
    const call = new Call(session).send(open);
    expect(await call.failure()).toMatchObject({ code: 7, detail: "CLIENT_UNKNOWN" });
    expect(wishes).toEqual([]);
    call.stream.end();
  });
});

describe("LAW-C3 what a client is told", () => {
  it("stage and class of a refusal, the correlation id, and no node", async () => {
    openChannel = async () => {
      const cause = new Error(`no link to nd-relay-1 at 10.0.0.9:7444 from ${selfId}`);
      throw channelError({
        end: ChannelEnd.NO_PATH,
        stage: ChannelStage.FABRIC,
        correlationId: "c0ffee",
        writtenToTarget: 0,
        cause,
      });
    };
    const call = new Call(session).send(open);
    const failure = await call.failure();
    expect(failure).toMatchObject({
      code: 14,
      detail: "NO_PATH",
      metadata: { stage: "FABRIC", end: "NO_PATH", correlationId: "c0ffee" },
    });
    expect(failure.text).not.toMatch(/nd-|10\.0\.0/);
    call.stream.end();
  });

  it("nothing of a bug", async () => {
    openChannel = () => Promise.reject(new Error(`bug at ${selfId}`));
    const call = new Call(session).send(open);
    const failure = await call.failure();
    expect(failure.code).toBe(13);
    expect(failure.text).not.toContain("nd-");
    call.stream.end();
  });

  it("how the target ended, also after bytes went through", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    fars[0]?.write("some");
    await eventually(() => call.text === "some");
    fars[0]?.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET);
    expect(await call.failure()).toMatchObject({ code: 10, detail: "TARGET_RESET", metadata: { stage: "TARGET" } });
    call.stream.end();
  });

  it("that the target refused, before `opened`", async () => {
    openChannel = async () => {
      const { near, far } = await trunks.open();
      far.refuse(ChannelEnd.TARGET_REFUSED, ChannelStage.TARGET);
      return near;
    };
    const call = new Call(session).send(open);
    expect(await call.failure()).toMatchObject({ code: 14, detail: "TARGET_REFUSED" });
    expect(call.messages).toEqual([]);
    call.stream.end();
  });
});

describe("a client that leaves", () => {
  it("takes its channel with it", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const failed = once(fars[0] as EdgeChannel, "error") as Promise<[{ detail: string }]>;
    call.stream.close(http2.constants.NGHTTP2_CANCEL);
    expect((await failed)[0].detail).toBe("CANCELED");
  });

  it("while the channel is being opened: the wish is called off and a channel that comes anyway is given up", async () => {
    const late = Promise.withResolvers<void>();
    openChannel = async () => {
      await late.promise;
      return await accepting();
    };
    const call = new Call(session).send(open);
    await eventually(() => wishes.length === 1);
    call.stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually(() => wishes[0]?.signal?.aborted);
    late.resolve();
    await eventually(() => fars.length === 1 && fars[0]?.destroyed);
  });

  it("by breaking the protocol while the channel is being opened: told so once, no channel stays", async () => {
    const late = Promise.withResolvers<void>();
    openChannel = async () => {
      await late.promise;
      return await accepting();
    };
    const call = new Call(session).send(open, open);
    expect(await call.failure()).toMatchObject({ detail: "ACCESS_OPEN_TWICE" });
    late.resolve();
    await eventually(() => fars.length === 1 && fars[0]?.destroyed, { what: "the late channel given up" });
    expect(call.messages).toEqual([]);
    call.stream.end();
  });
});

describe("back-pressure", () => {
  it("a client that reads nothing stops the channel, and the target, and loses nothing", async () => {
    const call = new Call(session).send(open);
    await call.opened();
    const [far] = fars as [EdgeChannel];
    call.stream.pause();
    const totalBytes = 64 * 1024 * 1024;
    let sentBytes = 0;
    const chunk = Buffer.alloc(64 * 1024, "b");
    const produce = async (): Promise<void> => {
      for (; sentBytes < totalBytes; sentBytes += chunk.length) if (!far.write(chunk)) await once(far, "drain");
      far.end();
    };
    const producing = produce();
    let before = -1;
    await eventually(
      () => {
        const still = sentBytes === before;
        before = sentBytes;
        return still;
      },
      { everyMs: 300 },
    );
    expect(sentBytes).toBeLessThan(totalBytes / 2);
    await throughout(200, () => sentBytes === before);
    let got = 0;
    call.stream.removeAllListeners("data");
    call.stream.on("data", (piece: Buffer) => (got += piece.length));
    call.stream.resume();
    await producing;
    await eventually(() => got >= totalBytes);
    call.stream.close();
  });

  it("a target that reads nothing stops the client, through many small messages without a listener for each", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.name);
    process.on("warning", onWarning);
    const call = new Call(session).send(open);
    await call.opened();
    const piece = framed(...Array.from({ length: 2_000 }, () => data("12345678901234567890")));
    let written = 0;
    for (let round = 0; round < 400 && written - call.stream.writableLength < 32 * 1024 * 1024; round++) {
      call.stream.write(piece);
      written += piece.length;
    }
    await eventually(() => call.stream.writableLength > 0);
    let before = -1;
    await eventually(
      () => {
        const still = call.stream.writableLength === before;
        before = call.stream.writableLength;
        return still;
      },
      { everyMs: 200 },
    );
    expect(call.stream.writableLength).toBeGreaterThan(0);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    call.stream.close();
  });
});
