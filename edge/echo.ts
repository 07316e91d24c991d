/**
 * `ChannelService/Echo`: every message comes back as it came. EchoRequest and EchoResponse have the same shape, so the bytes
 * are passed on unread; back-pressure is the stream's own. The length limit holds per message.
 */

import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import type { TransformCallback } from "node:stream";
import { Transform } from "node:stream";
import { GrpcDeframer } from "../fabric/trunk/grpc-frames.ts";
import { limits } from "../lib/limits.ts";

export const ECHO_PATH = "/weft.channel.v1.ChannelService/Echo";
const GRPC_OK = "0";
const GRPC_RESOURCE_EXHAUSTED = "8";
const GRPC_UNIMPLEMENTED = "12";
const GRPC_INTERNAL = "13";

/** Lets whole messages pass and says what was wrong with the first that cannot. */
class MessagePass extends Transform {
  wrong = "";
  readonly #deframer = new GrpcDeframer(limits.batchMaxBytes, () => {});

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.wrong === "") this.wrong = this.#deframer.push(chunk);
    if (this.wrong === "") done(null, chunk);
    else {
      this.push(null);
      done();
    }
  }

  get partial(): boolean {
    return this.#deframer.partial;
  }
}

function statusOf(pass: MessagePass): string {
  if (pass.wrong === "a message is too long") return GRPC_RESOURCE_EXHAUSTED;
  if (pass.wrong !== "") return GRPC_UNIMPLEMENTED;
  return pass.partial ? GRPC_INTERNAL : GRPC_OK;
}

/** Serves one Echo call on a raw stream. */
export function serveEcho(stream: ServerHttp2Stream, _headers: IncomingHttpHeaders): void {
  const pass = new MessagePass({ highWaterMark: limits.batchTargetBytes });
  stream.on("error", () => pass.destroy());
  stream.once("close", () => pass.destroy());
  pass.on("error", () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": statusOf(pass) }));
  stream.pipe(pass).pipe(stream);
}
