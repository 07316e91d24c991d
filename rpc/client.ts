/** Clients whose failures are `WeftError`s with the reason, detail and metadata the server gave. */

import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type StreamResponse, type Transport } from "@connectrpc/connect";
import { fromConnectError } from "./errors.ts";

/** A typed client of `service` over any transport; calls and streams reject with `WeftError`. */
export function rpcClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  return createClient(service, translated(transport));
}

function translated(inner: Transport): Transport {
  return {
    async unary(...args) {
      try {
        return await inner.unary(...args);
      } catch (error) {
        throw fromConnectError(error);
      }
    },
    async stream(...args) {
      try {
        const response = await inner.stream(...args);
        return { ...response, message: translatedEach(response.message) } satisfies StreamResponse;
      } catch (error) {
        throw fromConnectError(error);
      }
    },
  };
}

async function* translatedEach<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw fromConnectError(error);
  }
}
