/**
 * Stock gRPC clients on the port between nodes: with a node's certificate, the surface's own name, ordinary verification and
 * the one key exchange it takes, they call what neighbours call. Without the name nobody gets as far as TLS.
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { beforeAll, describe, expect, it } from "vitest";
import { ChannelService, EchoRequestSchema, type EchoResponse } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { ProbeService } from "../../../gen/weft/probe/v1/probe_pb.ts";
import { RelayService } from "../../../gen/weft/relay/v1/relay_pb.ts";
import {
  fabricWithinMs,
  type Ran,
  repository,
  run,
  type StockFiles,
  sharedFabric,
  type TestFabric,
} from "../../harness/fabric.ts";
import { findOlderNode } from "../../harness/older-node.ts";
import { requirePeer } from "../../harness/peers.ts";
import { callUnary, dialStock, openDuplex, statusOf, writeAll } from "../../harness/stock-grpc.ts";

const grpcurl = requirePeer("grpcurl", "grpcurl calls what a node serves to its neighbours");
const python = requirePeer("python", "a Python client calls what a node serves to its neighbours");
const olderNode = findOlderNode("@grpc/grpc-js dials an entry by its IP address without any option");
const hosts = ["127.0.0.1", "localhost"];

let world: TestFabric;
/** As whom the clients come. */
let files: StockFiles;
/** The name the relay's link surface answers to; its certificate carries it. */
let linkName: string;
beforeAll(async () => {
  world = await sharedFabric();
  files = world.nodeFiles("entry-1");
  const names = new X509Certificate(readFileSync(world.nodeFiles("relay-1").cert)).subjectAltName ?? "";
  linkName = /DNS:(link-[a-z0-9.-]+)/.exec(names)?.[1] ?? "";
}, fabricWithinMs);

const relayAt = (host: string): string => `${host}:${world.publicAddress("relay-1").split(":").at(-1)}`;

describe.each(hosts)("@grpc/grpc-js on the link surface at %s", (host) => {
  it("probes, echoes, and is refused a path that is not there", async () => {
    const grpc = dialStock(relayAt(host), files, linkName);
    const probed = await callUnary(grpc, ProbeService.method.probe, { seq: 7n, payload: Buffer.from("there") });
    expect([probed.seq, Buffer.from(probed.payload).toString()]).toEqual([7n, "there"]);
    const call = openDuplex(grpc, ChannelService.method.echo);
    const back: EchoResponse[] = [];
    call.on("data", (response: EchoResponse) => back.push(response));
    const ended = statusOf(call);
    const batch = {
      seq: 1n,
      frames: [{ channelId: 1, body: { case: "data" as const, value: Buffer.from("payload") } }],
    };
    await writeAll(call, [create(EchoRequestSchema, { batch })]);
    expect([(await ended).code, back.map(({ batch: echoed }) => echoed?.seq)]).toEqual([status.OK, [1n]]);
    // It never announced a path, so there is none to dial back for.
    await expect(callUnary(grpc, RelayService.method.dialBack, {})).rejects.toMatchObject({ code: status.NOT_FOUND });
    grpc.close();
  });
});

describe.skipIf(python.missing)("Python's grpcio on the link surface", () => {
  it.each(hosts)(
    "probes, echoes, and is refused an empty offer by the handler at %s",
    async (host) => {
      const ran = await run(
        python.path,
        [
          join(repository, "tests/interop/link_probe.py"),
          ...[
            "--address",
            relayAt(host),
            "--name",
            linkName,
            "--ca",
            files.ca,
            "--cert",
            files.cert,
            "--key",
            files.key,
          ],
          ...["--proto", join(repository, "proto")],
        ],
        { withinMs: 60_000 },
      );
      expect(ran.stderr).toBe("");
      const answer = JSON.parse(ran.stdout) as Record<string, unknown>;
      expect(answer).toMatchObject({ probe: [7, "there"], echo_equal: true });
      expect(["INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED"]).toContain(answer["empty_offer"]);
    },
    70_000,
  );
});

describe.skipIf(grpcurl.missing)("grpcurl on the link surface", () => {
  /** grpcurl's module asks Go to leave ML-KEM out; Go itself has it. */
  function ask(host: string, call: { name?: string; mlkem?: boolean; method: string; body: object }): Promise<Ran> {
    const tls = [
      "-cacert",
      files.ca,
      "-cert",
      files.cert,
      "-key",
      files.key,
      "-connect-timeout",
      "4",
      "-max-time",
      "20",
    ];
    const named = call.name === undefined ? [] : ["-authority", call.name];
    const protos = ["probe/v1/probe", "channel/v1/channel", "relay/v1/relay"].flatMap((p) => [
      "-proto",
      `weft/${p}.proto`,
    ]);
    return run(
      grpcurl.path,
      [
        ...tls,
        ...named,
        "-import-path",
        join(repository, "proto"),
        ...protos,
        "-d",
        JSON.stringify(call.body),
        relayAt(host),
        call.method,
      ],
      { env: { GODEBUG: call.mlkem === false ? "tlsmlkem=0" : "tlsmlkem=1" } },
    );
  }
  const probe = { method: "weft.probe.v1.ProbeService/Probe", body: { seq: 7, payload: "aGVsbG8=" } };
  const batch = { seq: 7, frames: [{ channel_id: 1, data: "aGVsbG8=" }] };

  it.each(hosts)("probes, echoes, and is refused an empty offer by the handler at %s", async (host) => {
    const probed = await ask(host, { ...probe, name: linkName });
    expect(JSON.parse(probed.stdout)).toMatchObject({ payload: "aGVsbG8=" });
    const echoed = await ask(host, {
      name: linkName,
      method: "weft.channel.v1.ChannelService/Echo",
      body: { batch },
    });
    expect(JSON.parse(echoed.stdout)).toMatchObject({
      batch: { seq: "7", frames: [{ channelId: 1, data: "aGVsbG8=" }] },
    });
    const refused = await ask(host, { name: linkName, method: "weft.relay.v1.RelayService/OpenPath", body: {} });
    expect(refused.stderr).toMatch(/Code: (InvalidArgument|PermissionDenied|Unauthenticated)/);
  });

  it("LAW-R3 is hung up on without the surface's name, and finds no key exchange without ML-KEM", async () => {
    const [unnamed, classical] = await Promise.all([
      ask("127.0.0.1", probe),
      ask("127.0.0.1", { ...probe, name: linkName, mlkem: false }),
    ]);
    expect(unnamed.stderr).toMatch(/connection reset by peer|EOF/);
    expect(classical.stderr).toContain("handshake failure");
  });
});

describe.skipIf(olderNode.missing)("@grpc/grpc-js on a Node that takes an IP address as server name", () => {
  it("dials an entry by its IP address with ordinary verification and no option at all", async () => {
    const client = await world.addClient("by-ip");
    const script = join(repository, "tests/interop/by_ip.cjs");
    const ran = await run(olderNode.path, [script, world.publicAddress("entry-1"), client.ca, client.cert, client.key]);
    expect(JSON.parse(ran.stdout || ran.stderr)).toMatchObject({ health: "0801", echoed: "by address" });
  });
});
