/**
 * Stock gRPC clients that are not ours, against a whole fabric: Python's grpcio, knowing `proto/` alone, and @grpc/grpc-js with
 * its own channel and TLS.
 */

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { checkServerIdentity } from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { type ClientDuplexStream, Client as GrpcClient, credentials, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AccessService, ConnectRequestSchema, type ConnectResponse } from "../../gen/weft/access/v1/access_pb.ts";
import { ListNodesRequestSchema, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ChannelService, EchoRequestSchema, type EchoResponse } from "../../gen/weft/channel/v1/channel_pb.ts";
import { fabricWithinMs, repository, run, type StockFiles, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { requirePeer } from "../harness/peers.ts";

const python = requirePeer("python", "a Python client generated from proto/ sends bytes through an entry");

const KiB = 1_024;
const MiB = 1_024 * KiB;

let world: TestFabric;
let client: StockFiles;
beforeAll(async () => {
  world = await startTestFabric();
  client = await world.addClient("stock");
}, fabricWithinMs);
afterAll(async () => await world?.stop(), fabricWithinMs);

/**
 * A channel with ordinary verification: by name, or, for an IP address, by the certificate's IP names. Node refuses an IP
 * address as a TLS server name and grpc-js sends it as one, so a name goes out in its place; what is verified is the address.
 */
function dial(address: string, files: StockFiles): GrpcClient {
  const [ca, key, cert] = [files.ca, files.key, files.cert].map((file) => readFileSync(file));
  const host = address.slice(0, address.lastIndexOf(":"));
  if (isIP(host) === 0) return new GrpcClient(address, credentials.createSsl(ca, key, cert));
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

function duplex<I extends DescMessage, O extends DescMessage>(grpc: GrpcClient, method: DescMethod & { input: I; output: O }) {
  const deadline = new Date(Date.now() + 18_000);
  return grpc.makeBidiStreamRequest(pathOf(method), encoder(method.input), decoder(method.output), { deadline });
}

/** Writes with back-pressure, as a client must: a full stream waits for `drain`. Stops when the call is over. */
async function writeAll<T>(call: ClientDuplexStream<T, unknown>, messages: Iterable<T>): Promise<void> {
  let over = false;
  const ended = new Promise<void>((resolve) => call.once("status", () => resolve())).then(() => {
    over = true;
  });
  for (const message of messages) {
    if (over) return;
    if (!call.write(message)) await Promise.race([ended, new Promise<void>((go) => call.once("drain", () => go()))]);
  }
  call.end();
}

const data = (bytes: Uint8Array) => create(ConnectRequestSchema, { message: { case: "data", value: bytes } });
const open = (resource: string) =>
  create(ConnectRequestSchema, { message: { case: "open", value: { resource } } });

/** Opens a resource, sends nothing, and resolves with how the call ended. */
function connectOutcome(address: string, resource: string): Promise<{ code: number; details: string; answers: string[] }> {
  const grpc = dial(address, client);
  const call = duplex(grpc, AccessService.method.connect);
  const answers: string[] = [];
  call.on("data", (response: ConnectResponse) => answers.push(response.message.case ?? "nothing"));
  call.on("error", () => {});
  return new Promise((resolve) => {
    call.on("status", ({ code, details }) => {
      grpc.close();
      resolve({ code, details, answers });
    });
    call.write(open(resource));
    call.end();
  });
}

describe("@grpc/grpc-js", () => {
  it.each(["127.0.0.1", "localhost"])("carries 16 MiB through %s and an entry, both ways", async (host) => {
    const port = world.publicAddress("entry-1").split(":").at(-1);
    const grpc = dial(`${host}:${port}`, client);
    const call = duplex(grpc, AccessService.method.connect);
    const received = createHash("sha256");
    const sent = createHash("sha256");
    let bytes = 0;
    const answers: string[] = [];
    const ended = new Promise<{ code: number }>((resolve) => call.on("status", resolve));
    call.on("error", () => {});
    call.on("data", ({ message }: ConnectResponse) => {
      if (message.case !== "data") return void answers.push(message.case ?? "nothing");
      bytes += message.value.length;
      received.update(message.value);
    });
    function* requests() {
      yield open("echo");
      for (let at = 0; at < 16 * MiB; at += 64 * KiB) {
        const chunk = randomBytes(64 * KiB);
        sent.update(chunk);
        yield data(chunk);
      }
    }
    await writeAll(call, requests());
    expect((await ended).code).toBe(status.OK);
    expect(bytes).toBe(16 * MiB);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    expect(answers).toEqual(["opened", "halfClosed"]);
    grpc.close();
  }, 60_000);

  it.each(["entry-1", "relay-2", "egress-1", "egress-2"])("echoes frame batches at %s", async (name) => {
    const grpc = dial(world.operatorAddress(name), world.operator);
    const call = duplex(grpc, ChannelService.method.echo);
    const batches = Array.from({ length: 64 }, (_, at) =>
      create(EchoRequestSchema, {
        batch: {
          seq: BigInt(at),
          frames: [{ channelId: at + 1, body: { case: "data", value: randomBytes(16 * KiB) } }],
        },
      }),
    );
    const back: EchoResponse[] = [];
    call.on("data", (response: EchoResponse) => back.push(response));
    call.on("error", () => {});
    const ended = new Promise<{ code: number }>((resolve) => call.on("status", resolve));
    await writeAll(call, batches);
    expect((await ended).code).toBe(status.OK);
    expect(back.map(({ batch }) => batch?.seq)).toEqual(batches.map(({ batch }) => batch?.seq));
    const payload = (batch: EchoResponse["batch"]): string =>
      createHash("sha256").update(batch?.frames[0]?.body.value as Uint8Array).digest("hex");
    expect(back.map(({ batch }) => payload(batch))).toEqual(batches.map(({ batch }) => payload(batch)));
    grpc.close();
  });

  it("lists nodes at control", async () => {
    const grpc = dial(world.operatorAddress("control"), world.operator);
    const { listNodes } = NodeAdminService.method;
    const organizations = await world.weft("organization", "list", "--json");
    const { clusterId } = (JSON.parse(organizations.stdout) as { organizations: { clusterId: string }[] })
      .organizations[0] ?? { clusterId: "" };
    const answer = await new Promise<MessageShape<typeof listNodes.output>>((resolve, reject) => {
      grpc.makeUnaryRequest(
        pathOf(listNodes),
        encoder(listNodes.input),
        decoder(listNodes.output),
        create(ListNodesRequestSchema, { clusterId }),
        (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
      );
    });
    const names = answer.nodes.map(({ name }) => name).sort();
    expect(names).toEqual(["egress-1", "egress-2", "entry-1", "entry-2", "relay-1", "relay-2", "relay-3"]);
    grpc.close();
  });

  it("is told that a resource does not exist, with stage and reason, and no node's name", async () => {
    const outcome = await connectOutcome(world.publicAddress("entry-2"), "no-such-name");
    expect(outcome.code).toBe(status.NOT_FOUND);
    expect(outcome.answers).toEqual([]);
    expect(outcome.details).not.toMatch(/nd-|entry-|relay-|egress-|127\.0\.0\.1/);
  });

  it("LAW-C1 is not served with another kind of certificate", async () => {
    const grpc = dial(world.publicAddress("entry-1"), world.operator);
    const call = duplex(grpc, AccessService.method.connect);
    call.on("error", () => {});
    const ended = new Promise<{ code: number }>((resolve) => call.on("status", resolve));
    call.write(open("echo"));
    call.end();
    call.resume();
    expect([status.UNAVAILABLE, status.UNAUTHENTICATED, status.PERMISSION_DENIED]).toContain((await ended).code);
    grpc.close();
  });
});

describe.skipIf(python.missing)("Python's grpcio", () => {
  it.each(["127.0.0.1", "localhost"])("reflects, asks health and echoes 1 MiB through an entry at %s", async (host) => {
    const port = world.publicAddress("entry-1").split(":").at(-1);
    const ran = await run(
      python.path,
      [
        join(repository, "tests/interop/access_echo.py"),
        ...["--address", `${host}:${port}`, "--ca", client.ca, "--cert", client.cert, "--key", client.key],
        ...["--proto", join(repository, "proto"), "--bytes", String(MiB)],
      ],
      { withinMs: 60_000 },
    );
    expect(ran.stderr).toBe("");
    const answer = JSON.parse(ran.stdout) as Record<string, unknown>;
    expect(answer).toMatchObject({
      bytes: MiB,
      sha256_equal: true,
      health: "SERVING",
      kinds: ["opened", "half_closed"],
      unknown_resource: "NOT_FOUND",
    });
    expect(answer["services"]).toContain("weft.access.v1.AccessService");
    expect(answer["services"]).not.toContain("weft.node.v1.NodeService");
  }, 70_000);
});
