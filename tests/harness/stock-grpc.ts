/**
 * A gRPC client that is not ours: @grpc/grpc-js with its own channel, HTTP/2 and TLS, ordinary verification, and Protobuf for
 * the messages. What it reaches, any stock client can reach.
 */

import type { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ClientDuplexStream, credentials, Client as GrpcClient, type StatusObject, status } from "@grpc/grpc-js";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { AccessService, ConnectRequestSchema, type ConnectResponse } from "../../gen/weft/access/v1/access_pb.ts";
import { eventually } from "./eventually.ts";
import type { StockFiles } from "./fabric.ts";

const deadlineMs = 18_000;

/**
 * A channel with ordinary verification: by name, or, for an IP address, by the certificate's IP names. Node refuses an IP
 * address as a TLS server name and grpc-js sends it as one, so a name goes out in its place; what is verified is the address.
 * `serverName` is sent and verified instead of the address's own.
 */
export function dialStock(address: string, files: StockFiles, serverName?: string): GrpcClient {
  const [ca, key, cert] = [files.ca, files.key, files.cert].map((file) => readFileSync(file));
  const host = address.slice(0, address.lastIndexOf(":"));
  if (serverName !== undefined || isIP(host) === 0) {
    const named = serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName };
    return new GrpcClient(address, credentials.createSsl(ca, key, cert), named);
  }
  const byAddress = credentials.createSsl(ca, key, cert, {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  });
  return new GrpcClient(address, byAddress, { "grpc.ssl_target_name_override": "localhost" });
}

const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;
const encoder =
  <D extends DescMessage>(schema: D) =>
  (message: MessageShape<D>): Buffer =>
    Buffer.from(toBinary(schema, message));
const decoder =
  <D extends DescMessage>(schema: D) =>
  (bytes: Buffer): MessageShape<D> =>
    fromBinary(schema, bytes);

type MethodOf<I extends DescMessage, O extends DescMessage> = DescMethod & { readonly input: I; readonly output: O };

export function openDuplex<I extends DescMessage, O extends DescMessage>(
  grpc: GrpcClient,
  method: MethodOf<I, O>,
): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
  const deadline = new Date(Date.now() + deadlineMs);
  const call = grpc.makeBidiStreamRequest(pathOf(method), encoder(method.input), decoder(method.output), { deadline });
  // The status says it too.
  call.on("error", () => {});
  return call;
}

/** One call with one answer; rejects with the `ServiceError`. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  grpc: GrpcClient,
  method: MethodOf<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    grpc.makeUnaryRequest(
      pathOf(method),
      encoder(method.input),
      decoder(method.output),
      create(method.input, request),
      { deadline: new Date(Date.now() + deadlineMs) },
      (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
    );
  });
}

export function statusOf(call: Pick<EventEmitter, "once">): Promise<StatusObject> {
  return new Promise((resolve) => call.once("status", resolve));
}

/** Writes with back-pressure, as a client must: a full stream waits for `drain`. Stops when the call is over. */
export async function writeAll<T>(call: ClientDuplexStream<T, unknown>, messages: Iterable<T>): Promise<void> {
  let over = false;
  const ended = statusOf(call).then(() => {
    over = true;
  });
  for (const message of messages) {
    if (over) return;
    if (!call.write(message)) await Promise.race([ended, new Promise<void>((go) => call.once("drain", () => go()))]);
  }
  call.end();
}

export const openMessage = (resource: string) =>
  create(ConnectRequestSchema, { message: { case: "open", value: { resource } } });
export const dataMessage = (bytes: Uint8Array) =>
  create(ConnectRequestSchema, { message: { case: "data", value: bytes } });

export interface Outcome {
  /** gRPC code. */
  readonly code: number;
  readonly message: string;
  /** `google.rpc.ErrorInfo`, when there is one. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Kinds of answers, in order. */
  readonly answers: readonly string[];
}

/** Opens a resource through AccessService, sends nothing, and resolves with how the call ended. */
export async function connectOutcome(address: string, files: StockFiles, resource: string): Promise<Outcome> {
  const grpc = dialStock(address, files);
  const call = openDuplex(grpc, AccessService.method.connect);
  const answers: string[] = [];
  call.on("data", (response: ConnectResponse) => answers.push(response.message.case ?? "nothing"));
  const ended = statusOf(call);
  call.write(openMessage(resource));
  call.end();
  const { code, details, metadata } = await ended;
  grpc.close();
  const [packed] = metadata.get("grpc-status-details-bin");
  const info = Buffer.isBuffer(packed)
    ? fromBinary(StatusSchema, packed).details.find(({ typeUrl }) => typeUrl.endsWith("google.rpc.ErrorInfo"))
    : undefined;
  const known = info === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value);
  return { code, message: details, reason: known?.reason ?? "", metadata: known?.metadata ?? {}, answers };
}

/** Waits until an entry has heard of a client that was just added: until then it hangs up, and a stock client takes that as it is. */
export async function knownAt(address: string, files: StockFiles): Promise<void> {
  const isKnown = async (): Promise<boolean> =>
    (await connectOutcome(address, files, "not-a-resource")).code === status.NOT_FOUND;
  await eventually(isKnown, { withinMs: 30_000, everyMs: 50, what: `the client to be known at ${address}` });
}
