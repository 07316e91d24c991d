import { type ClientHttp2Session, constants, type OutgoingHttpHeaders } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { ProbeRequestSchema, ProbeResponseSchema, ProbeService } from "../../../gen/weft/probe/v1/probe_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { kCaller } from "../../../rpc/caller.ts";
import { rowsOf } from "../../../rpc/policy.ts";
import { eventually } from "../../harness/eventually.ts";
import {
  dialHttp2,
  grpcMessage,
  type RawAnswer,
  rawRequest,
  type ServedSurface,
  serveSurface,
} from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";

const path = "/weft.probe.v1.ProbeService/Probe";
const policy = rowsOf(ProbeService, {
  probe: { callers: ["operator"], arrivedBy: ["operator-port"], subject: { kind: "none" }, limit: "operator" },
});

/** What the handler does with a call; the answer of most is what was asked. */
let seen: HandlerContext | undefined;
let hold: Promise<void> | undefined;
let decorate = false;
let served: ServedSurface;
let session: ClientHttp2Session;
const clock = new ManualClock();

const routes = (router: ConnectRouter): void => {
  router.service(ProbeService, {
    async probe(request, context) {
      seen = context;
      if (decorate) {
        context.responseHeader.set("x-head", context.requestHeader.get("x-asked") ?? "");
        context.responseTrailer.set("x-tail", context.values.get(kCaller).spiffe);
      }
      await hold;
      return { seq: request.seq, payload: request.payload };
    },
  });
};

beforeAll(async () => {
  const trust = await TestTrust.create();
  served = await serveSurface(trust, { arrivedBy: "operator-port", routes, policy, clock });
  session = await dialHttp2(trust, served.port, await trust.leaf("operator", "op-1"));
});
afterAll(async () => {
  session.destroy();
  await served[Symbol.asyncDispose]();
});

function probe(payload: Uint8Array, seq = 7): Buffer {
  return grpcMessage(toBinary(ProbeRequestSchema, create(ProbeRequestSchema, { seq: BigInt(seq), payload })));
}

function answerOf({ body }: RawAnswer) {
  return fromBinary(ProbeResponseSchema, body.subarray(5));
}

/** Sends a body piece by piece, each as a frame of its own. */
async function inPieces(pieces: readonly Uint8Array[], end = true): Promise<string | undefined> {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let status: string | undefined;
  for (const event of ["response", "trailers"] as const) {
    stream.on(event, (headers) => {
      status = headers["grpc-status"]?.toString() ?? status;
    });
  }
  stream.on("error", () => {}).on("close", () => resolve(status));
  stream.resume();
  for (const piece of pieces) await new Promise<void>((written) => stream.write(piece, () => written()));
  if (end) stream.end();
  return await promise;
}

describe("a unary call of plain gRPC", () => {
  test("is answered with its message, content type and status", async () => {
    const answer = await rawRequest(session, path, probe(new Uint8Array([1, 2, 3])));
    expect(answer).toMatchObject({ status: "0", reset: 0 });
    expect(answer.headers["content-type"]).toBe("application/grpc+proto");
    expect(answer.trailers["grpc-status"]).toBe("0");
    expect(answerOf(answer).seq).toBe(7n);
    expect([...answerOf(answer).payload]).toEqual([1, 2, 3]);
  });

  test("is read the same in whatever frames it comes", async () => {
    const whole = probe(new Uint8Array(300).fill(9));
    expect(await inPieces([...whole].map((byte) => new Uint8Array([byte])))).toBe("0");
    expect(await inPieces([whole.subarray(0, 3), whole.subarray(3, 90), whole.subarray(90)])).toBe("0");
  });

  test("may have an empty message", async () => {
    expect((await rawRequest(session, path, grpcMessage(new Uint8Array()))).status).toBe("0");
  });

  test("carries what its handler adds to headers and trailers", async () => {
    decorate = true;
    const answer = await rawRequest(session, path, probe(new Uint8Array()), { "x-asked": "yes" });
    decorate = false;
    expect(answer.headers["x-head"]).toBe("yes");
    expect(answer.trailers["x-tail"]).toMatch(/operator\/op-1$/);
  });

  test.each([
    ["no message", Buffer.alloc(0), "12"],
    ["two messages", Buffer.concat([grpcMessage(new Uint8Array(4)), grpcMessage(new Uint8Array(4))]), "12"],
    ["a byte too many", Buffer.concat([probe(new Uint8Array(4)), Buffer.alloc(1)]), "12"],
    ["half a head", Buffer.alloc(3), "3"],
    ["half a message", probe(new Uint8Array(100)).subarray(0, 50), "3"],
    ["a flag nobody announced", Buffer.from([1, 0, 0, 0, 0]), "3"],
    ["another message altogether", grpcMessage(new Uint8Array(20).fill(0xff)), "3"],
  ])("with %s is refused, and says why", async (_what, body, status) => {
    seen = undefined;
    const answer = await rawRequest(session, path, body);
    expect(answer).toMatchObject({ status, reset: 0 });
    const details = String(answer.headers["grpc-status-details-bin"]);
    const types = fromBinary(StatusSchema, Buffer.from(details, "base64")).details.map(({ typeUrl }) => typeUrl);
    expect(types).toEqual(expect.arrayContaining([expect.stringMatching(/ErrorInfo$/)]));
    expect(seen).toBeUndefined();
  });

  test("larger than allowed is refused from its length alone, without its end", async () => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(limits.rpcMessageMaxBytes + 1, 1);
    const answering = inPieces([head], false);
    let status: string | undefined;
    void answering.then((said) => {
      status = said;
    });
    // What is left unread is thrown away for a while, then the call is closed.
    await eventually(
      () => {
        clock.advance(limits.rpcErrorFlushMs);
        return status !== undefined;
      },
      { what: "the answer" },
    );
    expect(status).toBe("8");
  });

  test("keeps a bounded part of one caller's requests, whatever protocol they come by, until they are over", async () => {
    const part = grpcMessage(new Uint8Array(limits.rpcMessageMaxBytes)).subarray(0, -1);
    const callsCount = limits.rpcBodiesPerCallerMaxBytes / (part.length - limits.rpcBodyFreeMaxBytes);
    const open = (headers: OutgoingHttpHeaders) => {
      const stream = session.request({ ":method": "POST", ":path": path, te: "trailers", ...headers });
      const call = { stream, status: undefined as string | undefined };
      stream.on("response", (answer) => {
        call.status = answer["grpc-status"]?.toString();
      });
      stream.on("trailers", (answer) => {
        call.status = answer["grpc-status"]?.toString();
      });
      stream.on("error", () => {}).resume();
      stream.write(part);
      return call;
    };
    const calls = Array.from({ length: Math.ceil(callsCount) + 6 }, (_, index) =>
      open({ "content-type": index % 2 === 0 ? "application/grpc" : "application/grpc-web+proto" }),
    );
    const refused = () => calls.filter(({ status }) => status === "8").length;
    await eventually(() => refused() > 0, { what: "a refusal" });
    expect(refused()).toBeLessThan(calls.length / 2);
    expect((await rawRequest(session, path, probe(new Uint8Array(100)))).status).toBe("0");
    for (const { stream } of calls) stream.close(constants.NGHTTP2_CANCEL);
    const whole = probe(new Uint8Array(limits.rpcMessageMaxBytes - 100));
    await eventually(async () => (await rawRequest(session, path, whole)).status === "0", { what: "room again" });
  });

  test("of another encoding, content type or method is not this one's: Connect serves it or says no", async () => {
    const json = await rawRequest(session, path, Buffer.from("{}"), { "content-type": "application/json" });
    expect(json.headers[":status"]).toBe(200);
    const odd = await rawRequest(session, path, probe(new Uint8Array()), { "grpc-encoding": "br" });
    expect(odd.status).toBe("12");
    const put = await rawRequest(session, path, probe(new Uint8Array()), { ":method": "PUT" });
    expect(put.headers[":status"]).toBe(405);
  });
});

describe("the handler of a unary call", () => {
  test("is told when the caller gives up, and when its deadline passes", async () => {
    for (const [headers, end, reason] of [
      [{}, "reset", "the call is over"],
      [{ "grpc-timeout": "250m" }, "deadline", "the deadline has passed"],
    ] as const) {
      const { promise, resolve } = Promise.withResolvers<void>();
      [seen, hold] = [undefined, promise];
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        ...headers,
      });
      stream.on("error", () => {});
      stream.end(probe(new Uint8Array()));
      const context = await eventually(() => seen as HandlerContext | undefined, { what: "the handler" });
      expect(context.signal.aborted).toBe(false);
      expect(context.timeoutMs()).toBe(end === "deadline" ? 250 : undefined);
      if (end === "reset") stream.close(constants.NGHTTP2_CANCEL);
      else clock.advance(250);
      await eventually(() => context.signal.aborted, { what: `the signal after a ${end}` });
      expect(String(context.signal.reason)).toContain(reason);
      resolve();
      hold = undefined;
      stream.close();
    }
  });

  test("does not run for a deadline that is none, or too far", async () => {
    seen = undefined;
    for (const timeout of ["soon", "99999999H"]) {
      const answer = await rawRequest(session, path, probe(new Uint8Array()), { "grpc-timeout": timeout });
      expect(answer.status).toBe("3");
    }
    expect(seen).toBeUndefined();
  });
});
