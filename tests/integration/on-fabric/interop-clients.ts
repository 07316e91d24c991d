/**
 * Stock gRPC clients that are not ours, against a whole fabric: Python's grpcio, knowing `proto/` alone, and @grpc/grpc-js with
 * its own channel and TLS.
 */

import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { beforeAll, describe, expect, it } from "vitest";
import { AccessService, type ConnectResponse } from "../../../gen/weft/access/v1/access_pb.ts";
import { NodeAdminService } from "../../../gen/weft/admin/v1/node_pb.ts";
import { ChannelService, EchoRequestSchema, type EchoResponse } from "../../../gen/weft/channel/v1/channel_pb.ts";
import {
  fabricWithinMs,
  repository,
  run,
  type StockFiles,
  sharedFabric,
  type TestFabric,
} from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import {
  callUnary,
  connectOutcome,
  dataMessage,
  dialStock,
  knownAt,
  openDuplex,
  openMessage,
  statusOf,
  writeAll,
} from "../../harness/stock-grpc.ts";

const python = requirePeer("python", "a Python client generated from proto/ sends bytes through an entry");

const KiB = 1_024;
const MiB = 1_024 * KiB;

let world: TestFabric;
let client: StockFiles;
beforeAll(async () => {
  world = await sharedFabric();
  client = await world.addClient("stock");
  await knownAt(world.publicAddress("entry-1"), client);
}, fabricWithinMs);

describe("@grpc/grpc-js", () => {
  it.each(["127.0.0.1", "localhost"])("carries 16 MiB through %s and an entry, both ways", async (host) => {
    const port = world.publicAddress("entry-1").split(":").at(-1);
    const grpc = dialStock(`${host}:${port}`, client);
    const call = openDuplex(grpc, AccessService.method.connect);
    const received = createHash("sha256");
    const sent = createHash("sha256");
    let bytes = 0;
    const answers: string[] = [];
    const ended = statusOf(call);
    call.on("data", ({ message }: ConnectResponse) => {
      if (message.case !== "data") return void answers.push(message.case ?? "nothing");
      bytes += message.value.length;
      received.update(message.value);
    });
    function* requests() {
      yield openMessage("echo");
      for (let at = 0; at < 16 * MiB; at += 64 * KiB) {
        const chunk = randomBytes(64 * KiB);
        sent.update(chunk);
        yield dataMessage(chunk);
      }
    }
    await writeAll(call, requests());
    expect((await ended).code).toBe(status.OK);
    expect(bytes).toBe(16 * MiB);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    expect(answers).toEqual(["opened", "halfClosed"]);
    grpc.close();
  });

  it.each(["entry-1", "relay-2", "egress-1", "egress-2"])("echoes frame batches at %s", async (name) => {
    const grpc = dialStock(world.operatorAddress(name), world.operator);
    const call = openDuplex(grpc, ChannelService.method.echo);
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
    const ended = statusOf(call);
    await writeAll(call, batches);
    expect((await ended).code).toBe(status.OK);
    expect(back.map(({ batch }) => batch?.seq)).toEqual(batches.map(({ batch }) => batch?.seq));
    const payload = (batch: EchoResponse["batch"]): string =>
      createHash("sha256")
        .update(batch?.frames[0]?.body.value as Uint8Array)
        .digest("hex");
    expect(back.map(({ batch }) => payload(batch))).toEqual(batches.map(({ batch }) => payload(batch)));
    grpc.close();
  });

  it.each(["127.0.0.1", "localhost"])("lists nodes at control by %s", async (host) => {
    const port = world.operatorAddress("control").split(":").at(-1);
    const grpc = dialStock(`${host}:${port}`, world.operator);
    const clusterId = await world.fabric.withSession((session) => session.clusterId());
    const answer = await callUnary(grpc, NodeAdminService.method.listNodes, { clusterId });
    const names = answer.nodes.map(({ name }) => name).sort();
    expect(names).toEqual(["egress-1", "egress-2", "entry-1", "entry-2", "relay-1", "relay-2", "relay-3"]);
    grpc.close();
  });

  it("LAW-C1 is not served with another kind of certificate", async () => {
    const outcome = await connectOutcome(world.publicAddress("entry-1"), world.operator, "echo");
    expect([status.UNAVAILABLE, status.UNAUTHENTICATED, status.PERMISSION_DENIED]).toContain(outcome.code);
    expect(outcome.answers).toEqual([]);
  });
});

describe.skipIf(python.missing)("Python's grpcio", () => {
  it.each(["127.0.0.1", "localhost"])(
    "reflects, asks health and echoes 1 MiB through an entry at %s",
    async (host) => {
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
    },
    70_000,
  );
});
