/**
 * The relay one would write with `@grpc/grpc-js`, as a process: serves `ChannelService/Open`, calls it on the far edge over
 * mutual TLS, and passes messages on as the buffers they came in, with back-pressure. Windows as wide as the edges'.
 */

import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import { OPEN_PATH } from "../../edge/path-connection.ts";
import { limits } from "../../lib/limits.ts";
import { answerCalls } from "./child.ts";

process.env["GRPC_SSL_CIPHER_SUITES"] = "TLS_AES_128_GCM_SHA256";

const asIs = (bytes: Buffer): Buffer => bytes;
const options = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc-node.flow_control_window": limits.pathStreamWindowBytes,
  // TLS takes no address as a name.
  "grpc.ssl_target_name_override": "far.bench.weft",
  "grpc-node.max_session_memory": Number.MAX_SAFE_INTEGER,
};

interface Reader {
  on(event: "data" | "end", listener: (message: Buffer) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

interface Writer {
  on(event: "drain", listener: () => void): unknown;
  write(message: Buffer): boolean;
  end(): unknown;
}

interface Files {
  readonly roots: string;
  readonly key: string;
  readonly leaf: string;
}

/** `pipe`, which the types of grpc-js do not fit. */
function pass(from: Reader, to: Writer): void {
  from.on("data", (message: Buffer) => {
    if (!to.write(message)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
}

function relayCalls(client: grpc.Client): grpc.handleBidiStreamingCall<Buffer, Buffer> {
  return (incoming) => {
    const outgoing = client.makeBidiStreamRequest(OPEN_PATH, asIs, asIs);
    pass(incoming, outgoing);
    pass(outgoing, incoming);
    incoming.on("error", () => outgoing.cancel());
    incoming.once("cancelled", () => outgoing.cancel());
    outgoing.on("error", () => incoming.end());
  };
}

answerCalls({
  start({ farPort, files }: { farPort: number; files: Files }) {
    const roots = readFileSync(files.roots);
    const key = readFileSync(files.key);
    const leaf = readFileSync(files.leaf);
    // The far edge's certificate names nodes, not hosts; the chain is verified.
    const credentials = grpc.credentials.createSsl(roots, key, leaf, { checkServerIdentity: () => undefined });
    const client = new grpc.Client(`127.0.0.1:${farPort}`, credentials, options);
    const server = new grpc.Server(options);
    const open: grpc.MethodDefinition<Buffer, Buffer> = {
      path: OPEN_PATH,
      requestStream: true,
      responseStream: true,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    server.addService({ open }, { open: relayCalls(client) });
    const identity = grpc.ServerCredentials.createSsl(roots, [{ private_key: key, cert_chain: leaf }], true);
    return new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", identity, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
  },
});
