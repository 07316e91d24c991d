/**
 * A fleet of nodes as one process: connections with a certificate each, beats at a steady rate whatever control does
 * (open loop), snapshots watched, and hosts that join by a token.
 */

import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { rootsOf } from "../../certs/bundle.ts";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256, signEs256 } from "../../certs/keys.ts";
import { leafOfKind } from "../../certs/material.ts";
import { type ClientTlsOptions, tlsOptions } from "../../certs/tls-options.ts";
import { controlServerName, joinServerName } from "../../fabric/server-names.ts";
import { applyDelta } from "../../fabric/snapshot/delta.ts";
import { WatchSnapshotRequestSchema, WatchSnapshotResponseSchema } from "../../gen/weft/control/v1/control_pb.ts";
import {
  EnrollRequestSchema,
  EnrollResponseSchema,
  PollEnrollmentRequestSchema,
  PollEnrollmentResponseSchema,
} from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeCapability, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { SnapshotSchema, type TrustBundle, TrustBundleSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { BeatRequestSchema } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import type { FleetNode } from "../load/fleet.ts";
import { openSession, readMessages, sourceAddress, startCall, unary } from "../load/node-calls.ts";
import { answerCalls } from "./child.ts";

interface Connected {
  readonly node: FleetNode;
  readonly session: ClientHttp2Session;
  seq: bigint;
}

let fleet: Connected[] = [];
let bundle: TrustBundle;
let address = "";
/** By node: the snapshot it was sent last, and when. */
const arrivals = new Map<string, { version: bigint; atMs: number; payload: Uint8Array }>();

const expectControl = () => ({
  kind: "control" as const,
  trustDomain: bundle.trustDomain,
  clusterId: bundle.clusterId,
  roots: rootsOf(bundle, "control"),
  nowMs: () => Date.now(),
});

function nodeTls(node: FleetNode): ClientTlsOptions {
  return tlsOptions("dial-control", {
    identity: leafOfKind("node", node.keyPem, node.certificateDer),
    expect: expectControl(),
    serverName: controlServerName(bundle.clusterSlug),
  });
}

/** Runs `work` for every index below `count`, `width` at a time. */
async function eachOf(count: number, width: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await work(index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

function beatOf(connected: Connected): Uint8Array {
  connected.seq += 1n;
  return toBinary(
    BeatRequestSchema,
    create(BeatRequestSchema, {
      bootId: `boot-${connected.node.id}`,
      seq: connected.seq,
      sentAtMs: BigInt(Date.now()),
      load: 0.1,
      version: "bench",
      capabilities: [NodeCapability.CAN_EGRESS_PRIVATE_NETWORK],
    }),
  );
}

interface BeatReport {
  readonly answered: number;
  readonly failed: number;
  readonly firstError: string;
  /** From when a beat was to be sent until it was answered, ms. */
  readonly delaysMs: Float64Array;
}

/** Beats of all connected nodes in turn, `perSecond` in all, for `seconds`. */
async function beats(perSecond: number, seconds: number): Promise<BeatReport> {
  const delaysMs: number[] = [];
  let failed = 0;
  let firstError = "";
  const waiting = new Set<Promise<void>>();
  const startedMs = performance.now();
  const total = Math.floor(perSecond * seconds);
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1_000) * perSecond));
      for (; sent < due; sent += 1) {
        const intendedMs = startedMs + (sent / perSecond) * 1_000;
        const connected = fleet[sent % fleet.length];
        if (connected === undefined) continue;
        const call = unary(connected.session, "weft.heartbeat.v1.HeartbeatService/Beat", beatOf(connected)).then(
          () => void delaysMs.push(performance.now() - intendedMs),
          (error: unknown) => {
            failed += 1;
            firstError ||= String(error);
          },
        );
        waiting.add(call);
        void call.finally(() => waiting.delete(call));
      }
      if (sent < total) return;
      clearInterval(timer);
      resolve();
    }, 4);
  });
  await Promise.all(waiting);
  return { answered: delaysMs.length, failed, firstError, delaysMs: Float64Array.from(delaysMs) };
}

const watches: ClientHttp2Stream[] = [];

/** The version a snapshot says it has. What else is in it every node reads on its own host. */
function versionOf(payload: Uint8Array): bigint {
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === SnapshotSchema.field.version.number) return BigInt(reader.uint64());
    reader.skip(wireType);
  }
  throw new Error("a snapshot without a version");
}

/** Watches snapshots as every connected node, and puts them together as nodes do. */
function watch(): void {
  const request = toBinary(WatchSnapshotRequestSchema, create(WatchSnapshotRequestSchema, { takesDeltas: true }));
  for (const { node, session } of fleet) {
    const stream = startCall(session, "weft.control.v1.ControlService/WatchSnapshot", request);
    watches.push(stream);
    readMessages(stream, (bytes) => {
      const atMs = Date.now();
      const { message } = fromBinary(WatchSnapshotResponseSchema, bytes);
      if (message.case === undefined || message.case === "feed") return;
      const held = arrivals.get(node.id)?.payload;
      const { payload } = message.case === "delta" ? applyDelta(held, message.value) : message.value;
      arrivals.set(node.id, { version: versionOf(payload), atMs, payload });
    });
  }
}

interface JoinOrder {
  readonly tokens: readonly string[];
  readonly usesPerToken: number;
  readonly seconds: number;
  readonly width: number;
  readonly prepared: number;
}

/** Hosts from token to certificate, as many as possible: connect, verify, enrol, poll. Keys and CSRs are made beforehand. */
async function joins({ tokens, usesPerToken, seconds, width, prepared }: JoinOrder) {
  const hosts: { readonly keys: ReturnType<typeof generateP256>; readonly csr: Uint8Array }[] = [];
  for (let index = 0; index < prepared; index += 1) {
    const keys = generateP256();
    hosts.push({ keys, csr: await makeCsr(keys) });
  }
  const tls = tlsOptions("dial-join", { serverName: joinServerName(bundle.clusterSlug), expect: expectControl() });
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1_000;
  const failures: string[] = [];
  let joined = 0;
  await eachOf(Math.min(prepared, tokens.length * usesPerToken), width, async (index) => {
    const host = hosts[index];
    const token = tokens[Math.floor(index / usesPerToken)];
    if (performance.now() >= endMs || host === undefined || token === undefined) return;
    try {
      const session = await openSession(address, tls, sourceAddress(index));
      const wish = create(EnrollRequestSchema, {
        token,
        csr: host.csr,
        nodeName: `join-${index}`,
        capabilities: [NodeCapability.CAN_EGRESS_PRIVATE_NETWORK],
        requestedRoles: [{ role: NodeRole.EGRESS }],
        dialOutOnly: true,
      });
      const service = "weft.enrollment.v1.EnrollmentService";
      const enrolled = await unary(session, `${service}/Enroll`, toBinary(EnrollRequestSchema, wish));
      const { requestId } = fromBinary(EnrollResponseSchema, enrolled);
      const issuedAtMs = Date.now();
      const signed = Buffer.from(`weft/poll/v1\0${requestId}\0${issuedAtMs}`);
      const poll = create(PollEnrollmentRequestSchema, {
        requestId,
        issuedAtMs: BigInt(issuedAtMs),
        signature: signEs256(host.keys.privateKey, signed),
      });
      const polled = await unary(session, `${service}/PollEnrollment`, toBinary(PollEnrollmentRequestSchema, poll));
      const { identity } = fromBinary(PollEnrollmentResponseSchema, polled);
      if ((identity?.certificateDer.length ?? 0) > 0 && performance.now() <= endMs) joined += 1;
      session.close();
    } catch (error) {
      failures.push(String(error));
    }
  });
  return {
    joined,
    failed: failures.length,
    firstError: failures[0] ?? "",
    seconds: (performance.now() - startedMs) / 1_000,
  };
}

answerCalls({
  async connect(order: { address: string; bundle: Uint8Array; nodes: readonly FleetNode[] }) {
    address = order.address;
    bundle = fromBinary(TrustBundleSchema, order.bundle);
    const opened: Connected[] = [];
    await eachOf(order.nodes.length, 12, async (index) => {
      const node = order.nodes[index];
      if (node === undefined) return;
      opened.push({ node, session: await openSession(address, nodeTls(node), sourceAddress(index)), seq: 0n });
    });
    fleet = opened;
    return opened.filter(({ session }) => !session.closed).length;
  },
  beats: (order: { perSecond: number; seconds: number }) => beats(order.perSecond, order.seconds),
  watch: () => watch(),
  /** The connections stay. */
  stopWatching: () => {
    for (const stream of watches.splice(0)) stream.close();
  },
  /** How many nodes were sent this version or a newer one, and when each was, ms since 1970. */
  reached({ version }: { version: bigint }) {
    return [...arrivals.values()].filter((each) => each.version >= version).map((each) => each.atMs);
  },
  joins: (order: JoinOrder) => joins(order),
});
