/** The two directions of a grpc-js stream as async iterables, with back-pressure both ways. */

import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { ClientDuplexStream, ServiceError, StatusObject } from "@grpc/grpc-js";
import { connectErrorOf, fromMetadata } from "./grpc-js-metadata.ts";

/** Writes `input` as it comes and half-closes after it. Ends quietly when the call does; an error in `input` cancels it. */
export function writeRequests<D extends DescMessage>(
  call: ClientDuplexStream<MessageShape<D>, unknown>,
  schema: D,
  input: AsyncIterable<MessageInitShape<D>>,
): void {
  const run = async (): Promise<void> => {
    for await (const message of input) {
      if (call.destroyed || call.writableEnded) return;
      if (!call.write(create(schema, message))) await drained(call);
    }
    if (!call.destroyed) call.end();
  };
  run().catch(() => call.cancel());
}

function drained(call: { once(event: string, fn: () => void): unknown; off(event: string, fn: () => void): unknown }) {
  return new Promise<void>((resolve) => {
    const done = (): void => {
      call.off("drain", done);
      call.off("close", done);
      resolve();
    };
    call.once("drain", done);
    call.once("close", done);
  });
}

export interface Responses<O> {
  readonly header: Promise<Headers>;
  /** Filled when the stream has ended. */
  readonly trailer: Headers;
  readonly messages: AsyncIterable<O>;
}

/** Reads a call; `ended` hears exactly once how it went. Leaving the iteration early cancels the call. */
export function readResponses<O>(
  call: ClientDuplexStream<never, O> | ClientDuplexStream<unknown, O>,
  signal: AbortSignal | undefined,
  ended: (error: ServiceError | null) => void,
): Responses<O> {
  const trailer = new Headers();
  let failure: ServiceError | undefined;
  let over = false;
  const finish = (error: ServiceError | null): void => {
    if (over) return;
    over = true;
    ended(error);
  };
  const header = new Promise<Headers>((resolve) => {
    call.once("metadata", (metadata) => resolve(fromMetadata(metadata)));
    call.once("status", () => resolve(new Headers()));
    call.once("error", () => resolve(new Headers()));
  });
  call.on("error", (error: ServiceError) => {
    failure = error;
    finish(error);
  });
  call.on("status", (status: StatusObject) => {
    for (const [name, value] of fromMetadata(status.metadata)) trailer.append(name, value);
    if (status.code === 0) finish(null);
  });
  async function* messages(): AsyncGenerator<O> {
    try {
      for await (const message of call) yield message as O;
      if (failure !== undefined) throw failure;
    } catch (error) {
      throw connectErrorOf(failure ?? (error as ServiceError), signal);
    } finally {
      if (!over) call.cancel();
    }
  }
  return { header, trailer, messages: messages() };
}
