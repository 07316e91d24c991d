/** `ChannelService/Echo` on a raw HTTP/2 stream: messages come back whole, with back-pressure, and end with a status. */

import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream, Http2Server, IncomingHttpHeaders } from "node:http2";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ECHO_PATH, serveEcho } from "../../edge/echo.ts";
import { EchoRequestSchema } from "../../gen/weft/channel/v1/channel_pb.ts";
import { limits, MiB } from "../../lib/limits.ts";
import { eventually } from "../harness/eventually.ts";

let server: Http2Server;
let session: ClientHttp2Session;

beforeAll(async () => {
  server = createServer();
  server.on("stream", serveEcho);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterAll(async () => {
  session.destroy();
  server.close();
  await once(server, "close");
});

const call = (): ClientHttp2Stream =>
  session.request({ ":method": "POST", ":path": ECHO_PATH, "content-type": "application/grpc", te: "trailers" });

function message(payload: Uint8Array, flag = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

const request = (seq: number, bytes: number): Buffer =>
  message(
    toBinary(
      EchoRequestSchema,
      create(EchoRequestSchema, {
        batch: {
          seq: BigInt(seq),
          frames: [{ channelId: 1, body: { case: "data", value: Buffer.alloc(bytes, seq) } }],
        },
      }),
    ),
  );

async function statusOf(stream: ClientHttp2Stream): Promise<string> {
  const [trailers] = (await once(stream, "trailers")) as [IncomingHttpHeaders];
  return String(trailers["grpc-status"]);
}

describe("Echo", () => {
  it("returns every message as it came and ends with status 0", async () => {
    const stream = call();
    const status = statusOf(stream);
    const sent = Buffer.concat([request(1, 10), request(2, 60_000), request(3, 0)]);
    const got: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => got.push(chunk));
    stream.end(sent);
    expect(await status).toBe("0");
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });

  it("takes no more than its buffers from a caller that does not read, and goes on when it does", async () => {
    const stream = call();
    const one = request(1, 64_000);
    let accepted = 0;
    stream.pause();
    const write = (): void => {
      for (;;) {
        const more = stream.write(one, () => (accepted += one.length));
        if (!more) return;
      }
    };
    let got = 0;
    write();
    // Twice the same count: nothing moves any more. Windows are HTTP/2's default of 64 KiB here.
    let last = -1;
    const stands = (): boolean => {
      const same = accepted === last;
      last = accepted;
      return same;
    };
    await eventually(stands, { everyMs: 100, what: "the echo to stop taking" });
    expect(accepted).toBeLessThan(2 * MiB);
    stream.on("data", (chunk: Buffer) => (got += chunk.length));
    const status = statusOf(stream);
    stream.end();
    stream.resume();
    expect(await status).toBe("0");
    expect(got % one.length).toBe(0);
    expect(got).toBeGreaterThanOrEqual(one.length);
  });

  it.each([
    ["a message beyond the limit", message(Buffer.alloc(limits.batchMaxBytes + 1)), "8"],
    ["a compressed message", message(Buffer.from([1]), 1), "12"],
    ["a message that is cut off", request(1, 100).subarray(0, 50), "13"],
  ])("ends %s with a status", async (_name, bytes, expected) => {
    const stream = call();
    stream.resume();
    stream.on("error", () => {});
    const status = statusOf(stream);
    stream.end(bytes);
    expect(await status).toBe(expected);
  });
});
