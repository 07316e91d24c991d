/** A client of AccessService/Connect over plain HTTP/2, message by message. For tests. */

import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { GrpcDeframer } from "../../fabric/trunk/grpc-frames.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import {
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
} from "../../gen/weft/access/v1/access_pb.ts";
import { eventually } from "./eventually.ts";

export type Request = NonNullable<MessageInitShape<typeof ConnectRequestSchema>["message"]>;
export const open: Request = { case: "open", value: { resource: "web" } };
export const data = (text: string | Uint8Array): Request => ({
  case: "data",
  value: typeof text === "string" ? Buffer.from(text) : text,
});
export const halfClose: Request = { case: "halfClose", value: {} };

export function framed(...messages: Request[]): Buffer {
  return Buffer.concat(
    messages.map((message) => {
      const body = toBinary(
        ConnectRequestSchema,
        create(ConnectRequestSchema, { message } as MessageInitShape<typeof ConnectRequestSchema>),
      );
      const head = Buffer.alloc(5);
      head.writeUInt32BE(body.length, 1);
      return Buffer.concat([head, body]);
    }),
  );
}

export class Call {
  readonly stream: ClientHttp2Stream;
  readonly messages: ConnectResponse[] = [];
  trailers: IncomingHttpHeaders | undefined;
  closed = false;

  constructor(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}) {
    const path = "/weft.access.v1.AccessService/Connect";
    const head = { ":method": "POST", ":path": path, "content-type": "application/grpc", ...headers };
    this.stream = session.request(head);
    const deframer = new GrpcDeframer(1 << 20, (bytes) => this.messages.push(fromBinary(ConnectResponseSchema, bytes)));
    this.stream.on("data", (chunk: Buffer) => void deframer.push(chunk));
    this.stream.on("trailers", (trailers) => {
      this.trailers = trailers;
    });
    this.stream.on("error", () => {});
    this.stream.on("close", () => {
      this.closed = true;
    });
  }

  send(...messages: Request[]): this {
    this.stream.write(framed(...messages));
    return this;
  }

  get kinds(): (string | undefined)[] {
    return this.messages.map(({ message }) => message.case);
  }

  get text(): string {
    return this.messages
      .map(({ message }) => (message.case === "data" ? Buffer.from(message.value).toString() : ""))
      .join("");
  }

  opened(): Promise<unknown> {
    return eventually(() => this.kinds[0] === "opened", { what: "opened" });
  }

  async status(): Promise<string | undefined> {
    return String(await eventually(() => this.trailers?.["grpc-status"], { what: "trailers" }));
  }

  /** The failure as a gRPC client reads it. */
  async failure(): Promise<{ code: number; detail: string; metadata: Record<string, string>; text: string }> {
    await this.status();
    const headers = new Headers(Object.entries(this.trailers ?? {}).map(([name, value]) => [name, String(value)]));
    const error = ConnectError.from(findTrailerError(headers));
    const info = error.findDetails(ErrorInfoSchema)[0];
    const text = JSON.stringify([error.message, info?.reason, info?.metadata, this.trailers?.["grpc-message"]]);
    return { code: error.code, detail: info?.reason ?? "", metadata: info?.metadata ?? {}, text };
  }
}
