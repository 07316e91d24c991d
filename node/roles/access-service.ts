/**
 * AccessService/Connect on a raw HTTP/2 stream: one channel per call, back-pressured both ways. Of a message resource, one
 * `data` is one message, in both directions; of any other, `data` are bytes and their cuts mean nothing. The entry vouches
 * for the client certificate it verified (ENTRY_ASSERTED). Failures leave as gRPC statuses with stage and reason class;
 * nothing here names a node (LAW-C3).
 */

import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { EdgeChannel } from "../../edge/channel.ts";
import { MessageChannel } from "../../edge/message-channel.ts";
import { GrpcDeframer } from "../../fabric/trunk/grpc-frames.ts";
import {
  type ConnectOpen,
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
} from "../../gen/weft/access/v1/access_pb.ts";
import { OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Timer } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { parseTraceparent, TRACEPARENT, type TraceContext } from "../../lib/trace-context.ts";
import { type Caller, clientOf } from "../../rpc/caller.ts";
import { respondError } from "../../rpc/errors.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { EntryRole } from "./entry.ts";
import { openInTime } from "./open-in-time.ts";
import { carriesMessages } from "./resource-kind.ts";

/** Field tag and length of a `data` field at its limit: one byte and a varint of three. */
const dataOverheadBytes = 4;
const prefixBytes = 5;

function frame(response: ConnectResponse): Buffer {
  const body = toBinary(ConnectResponseSchema, response);
  const out = Buffer.allocUnsafe(prefixBytes + body.length);
  out[0] = 0;
  out.writeUInt32BE(body.length, 1);
  out.set(body, prefixBytes);
  return out;
}

function say(message: ConnectResponse["message"]): Buffer {
  return frame(create(ConnectResponseSchema, { message }));
}

/** The organization this node's snapshot knows a client under, or undefined. */
function organizationOf(ports: DataPlanePorts, clientId: string): string | undefined {
  return ports.snapshot.current()?.clients.find((grant) => grant.clientId === clientId)?.organizationId;
}

interface Called {
  readonly stream: ServerHttp2Stream;
  readonly caller: Caller;
  readonly requestId: string;
  /** The trace the client says to be part of. */
  readonly link: TraceContext | undefined;
}

/** One call's life. */
class AccessCall {
  readonly #ports: DataPlanePorts;
  readonly #entry: EntryRole;
  readonly #stream: ServerHttp2Stream;
  readonly #caller: Caller;
  readonly #requestId: string;
  readonly #link: TraceContext | undefined;
  readonly #gone = new AbortController();
  #channel: EdgeChannel | undefined;
  /** Of a message resource. */
  #messages: MessageChannel | undefined;
  #state: "waiting" | "opening" | "open" | "over" = "waiting";
  #clientDone = false;
  /** The channel takes no more: the stream waits for its drain. */
  #full = false;
  /** The client takes no more for now: the channel waits for the stream's drain. */
  #behind = false;
  /** A caller that asks for nothing holds a stream for a while only. */
  #patience: Timer | undefined;

  constructor(ports: DataPlanePorts, entry: EntryRole, { stream, caller, requestId, link }: Called) {
    this.#ports = ports;
    this.#entry = entry;
    this.#stream = stream;
    this.#caller = caller;
    this.#requestId = requestId;
    this.#link = link;
  }

  run(): void {
    const stream = this.#stream;
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    this.#patience = this.#ports.clock.after(limits.accessFirstMessageMs, () => {
      if (this.#state !== "waiting") return;
      this.#fail(new WeftError("deadline_exceeded", "no open came in time", { detail: "ACCESS_OPEN_LATE" }));
    });
    const deframer = new GrpcDeframer(limits.accessMessageMaxBytes + dataOverheadBytes, (bytes) =>
      this.#onMessage(bytes),
    );
    stream.on("data", (chunk: Buffer) => {
      const fault = deframer.push(chunk);
      if (fault !== "")
        this.#fail(
          new WeftError(
            "resource_exhausted",
            `a message must be whole and at most ${limits.accessMessageMaxBytes} bytes`,
            { detail: "ACCESS_MESSAGE", retry: "never" },
          ),
        );
    });
    stream.on("end", () => {
      if (deframer.partial)
        this.#fail(
          new WeftError("invalid_argument", "the stream ended inside a message", { detail: "ACCESS_TRUNCATED" }),
        );
      else this.#endOfClient();
    });
    // It may have ended while the caller was judged, with nothing in it: nobody is told of that again.
    if (stream.readableEnded) this.#endOfClient();
    stream.on("error", () => {});
    stream.on("close", () => {
      this.#patience?.cancel();
      this.#gone.abort();
      if (this.#state !== "over") this.#channel?.destroy();
      this.#state = "over";
    });
  }

  #onMessage(bytes: Buffer): void {
    if (this.#state === "over") return;
    let request: ConnectRequest;
    try {
      request = fromBinary(ConnectRequestSchema, bytes);
    } catch {
      this.#fail(new WeftError("invalid_argument", "a message does not decode", { detail: "ACCESS_MESSAGE" }));
      return;
    }
    const { message } = request;
    if (message.case === "open") {
      if (this.#state !== "waiting") {
        this.#fail(
          new WeftError("invalid_argument", "a stream carries one channel: open came twice", {
            detail: "ACCESS_OPEN_TWICE",
          }),
        );
        return;
      }
      this.#state = "opening";
      this.#patience?.cancel();
      // Data behind the open waits in the stream's window until the channel stands.
      this.#stream.pause();
      this.#open(message.value).catch((thrown: unknown) => this.#fail(thrown));
    } else if (this.#state === "waiting") {
      this.#fail(new WeftError("invalid_argument", "the first message must be open", { detail: "ACCESS_OPEN_FIRST" }));
    } else if (message.case === "data") {
      if (this.#clientDone) {
        this.#fail(new WeftError("invalid_argument", "data after half-close", { detail: "ACCESS_AFTER_HALF_CLOSE" }));
        return;
      }
      this.#early.push(message.value);
      try {
        this.#flush();
      } catch (thrown) {
        this.#fail(thrown);
      }
    } else if (message.case === "halfClose") {
      this.#endOfClient();
    }
  }

  /** What arrived in the same chunk as the open, or while the channel was full: bounded by one read of the stream. */
  readonly #early: Uint8Array[] = [];

  #flush(): void {
    const channel = this.#channel;
    if (channel === undefined || channel.destroyed) return;
    let writable = true;
    for (let next = this.#early.shift(); next !== undefined; next = this.#early.shift())
      writable = (this.#messages?.send(next) ?? channel.write(next)) && writable;
    if (this.#clientDone) (this.#messages ?? channel).end();
    else if (!writable && !this.#full) {
      this.#full = true;
      this.#stream.pause();
      channel.once("drain", () => {
        this.#full = false;
        this.#stream.resume();
      });
    }
  }

  async #open({ resource, class: channelClass, contract }: ConnectOpen): Promise<void> {
    const { clientId } = clientOf(this.#caller);
    const organizationId = organizationOf(this.#ports, clientId);
    if (organizationId === undefined)
      throw new WeftError("permission_denied", "this client may not use this entry", { detail: "CLIENT_UNKNOWN" });
    const channel = await openInTime(this.#entry, this.#ports.clock, {
      resource,
      organizationId,
      class: channelClass,
      origin: {
        assurance: OriginAssurance.ENTRY_ASSERTED,
        clientId,
        organizationId,
        entryNodeId: this.#ports.identity.current().nodeId,
        listenerId: "",
        sourceAddress: this.#caller.sourceAddress,
      },
      ...(contract.length === 0 ? {} : { contract }),
      link: this.#link,
      signal: this.#gone.signal,
    });
    // The client may have left, or broken the protocol, while the channel was on its way.
    if (this.#state !== "opening") return void channel.destroy();
    this.#channel = channel;
    if (carriesMessages(this.#ports.snapshot.current(), resource, organizationId)) this.#carryMessages(channel);
    else channel.copiesWrites = false;
    channel.on("error", (thrown) => this.#fail(thrown));
    channel.once("close", () =>
      this.#fail(new WeftError("unavailable", "the channel ended", { detail: "TRUNK_LOST" })),
    );
    await channel.opened;
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#stream.write(
      say({
        case: "opened",
        value: { $typeName: "weft.access.v1.ConnectOpened", correlationId: channel.correlationId },
      }),
    );
    if (this.#messages === undefined) this.#carryBytes(channel);
    else channel.resume();
    this.#carryEnd(channel);
    this.#flush();
    if (!this.#full) this.#stream.resume();
  }

  /** Both directions of a message resource; what comes back waits until the client was told that the channel stands. */
  #carryMessages(channel: EdgeChannel): void {
    channel.pause();
    let arrived: Buffer[] = [];
    this.#messages = new MessageChannel(channel, (message) => arrived.push(say({ case: "data", value: message })));
    // Behind the message channel's own listener: the messages of one chunk leave in one write.
    channel.on("data", () => {
      const said = arrived;
      arrived = [];
      if (said.length > 0) this.#answer(channel, Buffer.concat(said));
    });
  }

  /** Target to client, where cuts mean nothing. */
  #carryBytes(channel: EdgeChannel): void {
    channel.on("data", (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += limits.accessMessageMaxBytes) {
        this.#answer(channel, say({ case: "data", value: chunk.subarray(at, at + limits.accessMessageMaxBytes) }));
      }
    });
  }

  #answer(channel: EdgeChannel, bytes: Buffer): void {
    if (this.#state !== "open" || this.#stream.write(bytes) || this.#behind) return;
    this.#behind = true;
    channel.pause();
    this.#stream.once("drain", () => {
      this.#behind = false;
      channel.resume();
    });
  }

  #carryEnd(channel: EdgeChannel): void {
    const stream = this.#stream;
    channel.on("end", () => {
      // Destroyed: the end came inside a message, and the error says so.
      if (this.#state === "over" || channel.destroyed) return;
      stream.write(say({ case: "halfClosed", value: { $typeName: "weft.access.v1.ConnectHalfClosed" } }));
      if (channel.writableFinished) this.#finish();
      else channel.once("finish", () => this.#finish());
    });
  }

  #endOfClient(): void {
    if (this.#clientDone || this.#state === "over") return;
    this.#clientDone = true;
    if (this.#state === "waiting") {
      this.#fail(new WeftError("invalid_argument", "the stream ended before open", { detail: "ACCESS_OPEN_FIRST" }));
      return;
    }
    this.#flush();
  }

  /** Both directions are done. */
  #finish(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#stream.once("wantTrailers", () => {
      if (!this.#stream.destroyed) this.#stream.sendTrailers({ "grpc-status": "0" });
    });
    this.#stream.end();
  }

  #fail(thrown: unknown): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#patience?.cancel();
    this.#gone.abort();
    this.#channel?.destroy();
    respondError(this.#stream, thrown, this.#requestId);
    // What the client still sends is of no use to anybody.
    this.#stream.resume();
  }
}

/** The raw handler of AccessService/Connect. */
export function serveAccess(ports: DataPlanePorts, entry: EntryRole) {
  return (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, caller: Caller, requestId: string): void => {
    const link = ports.tracer === undefined ? undefined : parseTraceparent(headers[TRACEPARENT]);
    new AccessCall(ports, entry, { stream, caller, requestId, link }).run();
  };
}
