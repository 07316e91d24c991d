/**
 * A stock client that misbehaves, in Python and generated from proto/ (tests/interop/bad_input.py): it is told what was wrong,
 * with details, and the fabric goes on as if it had not been there.
 */

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { status } from "@grpc/grpc-js";
import { beforeAll, describe, expect, it } from "vitest";
import { askFabricNode } from "../../../cli/up/failovers.ts";
import { VerifiedStream } from "../../../cli/up/stream.ts";
import type { GetStatusResponse } from "../../../gen/weft/node/v1/node_pb.ts";
import { MiB } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import {
  fabricWithinMs,
  repository,
  run,
  type StockFiles,
  sharedFabric,
  type TestFabric,
} from "../../harness/fabric.ts";
import { requirePeer } from "../../harness/peers.ts";
import { connectOutcome } from "../../harness/stock-grpc.ts";

const python = requirePeer("python", "a Python client that sends garbage is told so and costs nothing");

interface Told {
  readonly code: string;
  readonly reason?: string;
  readonly stage?: string;
  readonly retry?: string;
  readonly request_id?: string;
  readonly answers?: readonly string[];
}

describe.skipIf(python.missing)("a client that misbehaves", () => {
  let world: TestFabric;
  let files: StockFiles;
  beforeAll(async () => {
    world = await sharedFabric();
    files = await world.addClient("misbehaving");
    const pool = ["--pool", "demo-exit", "--target", "127.0.0.1:9"];
    const added = await world.weft("resource", "add", "bad-input-leased", ...pool, "--requires-lease");
    if (added.code !== 0) throw new Error(added.stderr);
    const known = async (): Promise<boolean> =>
      (await connectOutcome(world.publicAddress("entry-1"), files, "bad-input-leased")).code !== status.NOT_FOUND;
    await eventually(known, { withinMs: 10_000, everyMs: 100, what: "the resource at the entry" });
  }, fabricWithinMs);

  async function misbehave<T>(how: string, ...args: readonly string[]): Promise<T> {
    const at = ["--identity", dirname(files.cert), "--entry", world.publicAddress("entry-1")];
    const ran = await run(
      python.path,
      [join(repository, "tests/interop/bad_input.py"), how, ...(how === "certificates" ? [] : at), ...args],
      {
        withinMs: 80_000,
        env: {
          PYTHONPATH: `${repository}gen/python:${repository}examples/python`,
          PYTHONPYCACHEPREFIX: `${repository}node_modules/.cache/weft/python`,
          // What it logs about connections that are hung up on is its own business.
          GRPC_VERBOSITY: "NONE",
        },
      },
    );
    expect([ran.code, ran.stderr]).toEqual([0, ""]);
    return JSON.parse(ran.stdout) as T;
  }

  const statusOf = (name: string): Promise<GetStatusResponse> =>
    world.fabric.withSession((session) => askFabricNode(world.fabric, session, name, (node) => node.getStatus({})));
  const channelsOf = async (name: string): Promise<number> =>
    Number((await statusOf(name)).counters?.channelsLive ?? 0n);
  const descriptorsOf = (name: string): number => readdirSync(`/proc/${world.fabric.process(name).pid}/fd`).length;

  it("in its messages is told which rule it broke, by code, reason and request id", async () => {
    const { told, random } = await misbehave<{ told: Record<string, Told>; random: Told[] }>(
      "messages",
      ...["--leased", "bad-input-leased", "--control", world.operatorAddress("control")],
      ...["--context", world.fabric.contextDir],
    );
    const seen = Object.fromEntries(Object.entries(told).map(([name, { code, reason }]) => [name, [code, reason]]));
    expect(seen).toEqual({
      not_protobuf: ["INVALID_ARGUMENT", "ACCESS_MESSAGE"],
      empty: ["INVALID_ARGUMENT", "ACCESS_OPEN_FIRST"],
      nothing_at_all: ["INVALID_ARGUMENT", "ACCESS_OPEN_FIRST"],
      data_first: ["INVALID_ARGUMENT", "ACCESS_OPEN_FIRST"],
      half_close_first: ["INVALID_ARGUMENT", "ACCESS_OPEN_FIRST"],
      open_twice: ["INVALID_ARGUMENT", "ACCESS_OPEN_TWICE"],
      garbage_behind_open: ["INVALID_ARGUMENT", "ACCESS_MESSAGE"],
      data_after_half_close: ["INVALID_ARGUMENT", "ACCESS_AFTER_HALF_CLOSE"],
      too_large: ["RESOURCE_EXHAUSTED", "ACCESS_MESSAGE"],
      no_such_method: ["UNIMPLEMENTED", "UNIMPLEMENTED"],
      no_such_service: ["UNIMPLEMENTED", "UNIMPLEMENTED"],
      needs_a_lease: ["PERMISSION_DENIED", "NOT_ALLOWED"],
      lease_of_garbage: ["PERMISSION_DENIED", "NOT_ALLOWED"],
      garbage_to_control: ["INVALID_ARGUMENT", "MALFORMED_REQUEST"],
      deadline_of_an_hour: ["INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    });
    // No byte of the target's, and the target's acceptance only where there was an open.
    const answers = Object.entries(told).filter(([, { answers = [] }]) => answers.length > 0);
    expect(answers.map(([, { answers }]) => answers)).toEqual(answers.map(() => ["opened"]));
    expect([...Object.values(told), ...random].filter(({ request_id: id }) => id === undefined)).toEqual([]);
    expect(Object.values(told).every(({ retry }) => retry === "never")).toBe(true);
    expect(random).toHaveLength(20);
    expect(random.filter(({ code, reason }) => code !== "INVALID_ARGUMENT" || !reason?.startsWith("ACCESS_"))).toEqual(
      [],
    );
  }, 90_000);

  it("in reading nothing is stopped by flow control, and slows no other channel of its connection", async () => {
    const before = await channelsOf("entry-1");
    const { taken, beside, code } = await misbehave<{ taken: number; beside: string; code: string }>("unread");
    expect([beside, code]).toEqual(["beside", "CANCELLED"]);
    // Windows, credit and socket buffers from end to end, twice; it would have gone on for a minute.
    expect(taken).toBeLessThan(192 * MiB);
    await eventually(async () => (await channelsOf("entry-1")) <= before, { what: "no channel left" });
  }, 90_000);

  it("in cancelling a thousand times meets a rate limit, is served again, and no healthy connection notices", async () => {
    const before = await channelsOf("entry-1");
    const [fdsBefore, { bootId }] = [descriptorsOf("entry-1"), await statusOf("entry-1")];
    const healthy = new VerifiedStream(world.fabric.listenerPort("echo-entry-1"), 1 * MiB);
    const { counts, refused, after } = await misbehave<{
      counts: Record<string, number>;
      refused: Told[];
      after: { echoed: string; refused: Told[] };
    }>("cancel", "--count", "1000");
    const { equal } = await healthy.finish(10_000);
    expect([equal, healthy.counts().fault, healthy.counts().verifiedBytes > 0]).toEqual([true, undefined, true]);
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(1000);
    // What it called off itself, what was one call too many, and calls of a connection that was ended for its resets.
    const codes = new Set(["CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"]);
    expect(Object.keys(counts).filter((code) => !codes.has(code))).toEqual([]);
    const exhausted = [...refused, ...after.refused].filter(({ code }) => code === "RESOURCE_EXHAUSTED");
    expect(exhausted.length).toBeGreaterThan(0);
    expect(exhausted.filter(({ reason, retry }) => reason !== "RATE" || retry !== "later")).toEqual([]);
    expect(after.echoed).toBe("sorry");
    expect((await statusOf("entry-1")).bootId).toBe(bootId);
    await eventually(async () => (await channelsOf("entry-1")) <= before, { what: "no channel left" });
    await eventually(() => descriptorsOf("entry-1") <= fdsBefore, { what: "no descriptor left", withinMs: 20_000 });
  }, 90_000);

  it("LAW-C1 in showing the wrong certificate, or none, gets no answer but the end of its connection", async () => {
    const node = world.nodeFiles("relay-1");
    const { operator } = world;
    const [entry, control, nodes] = [
      world.publicAddress("entry-1"),
      world.operatorAddress("control"),
      world.publicAddress("control"),
    ];
    const pairing = (name: string, ca: string, shown: StockFiles | undefined, address: string, serverName = "") =>
      `${name}=${[ca, shown?.cert ?? "", shown?.key ?? "", address, serverName].join(",")}`;
    const wrong = [
      pairing("operator_at_entry", operator.ca, operator, entry),
      pairing("node_at_entry", operator.ca, node, entry),
      pairing("nobody_at_entry", operator.ca, undefined, entry),
      pairing("client_at_control", operator.ca, files, control),
      pairing("node_at_operator_port", operator.ca, node, control),
      pairing("another_root", join(dirname(files.ca), "pools.pem"), files, entry),
      pairing("beat_of_a_client", operator.ca, files, nodes, "control.default.weft.internal"),
      pairing("beat_of_nobody", operator.ca, undefined, nodes, "join.default.weft.internal"),
    ];
    const { told } = await misbehave<{ told: Record<string, Told> }>(
      "certificates",
      ...wrong.flatMap((each) => ["--wrong", each]),
    );
    const { beat_of_nobody: stranger, ...others } = told;
    expect(Object.keys(others)).toHaveLength(wrong.length - 1);
    expect(
      Object.entries(others).filter(([, { code, answers = [] }]) => code !== "UNAVAILABLE" || answers.length > 0),
    ).toEqual([]);
    // The joining door needs no certificate, and has nothing but joining behind it.
    expect([stranger?.code, stranger?.request_id === undefined]).toEqual(["UNIMPLEMENTED", false]);
  }, 60_000);
});
