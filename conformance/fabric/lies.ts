/** What checks that lie to nodes have in common: whom they are made up about, and what a node says of where it stands. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { formatSpiffe } from "../../certs/spiffe.ts";
import { askFabricNode } from "../../cli/up/failovers.ts";
import { type Client, connect } from "../../client/connect.ts";
import { clientIdentity, readClientFolder } from "../../client/identity.ts";
import { signFeed } from "../../fabric/feed.ts";
import type { OnlineSigner } from "../../fabric/snapshot/sign.ts";
import {
  type RevocationFeed,
  RevocationFeedSchema,
  type SignedFeed,
  SignedFeedSchema,
} from "../../gen/weft/fabric/v1/feed_pb.ts";
import type { WatchEventsResponse } from "../../gen/weft/node/v1/node_pb.ts";
import { StolenNode } from "../attack/stolen-node.ts";
import { holds } from "../check.ts";
import { until } from "../until.ts";
import type { FabricWorld } from "./world.ts";

/** A relay whose folder somebody has copied. It runs on, and lies to nobody itself. */
export const stolenName = "relay-3";

export const stateDirOf = ({ fabric }: FabricWorld, node: string): string => join(fabric.root, "nodes", node, "state");

export function thiefIn(world: FabricWorld): StolenNode {
  return new StolenNode(stateDirOf(world, stolenName));
}

/** The statement a node goes by. */
export function heldFeed(world: FabricWorld, node: string): SignedFeed {
  return fromBinary(SignedFeedSchema, readFileSync(join(stateDirOf(world, node), "feed.bin")));
}

/** A statement with some of it changed, rightly signed. */
export function forgedFeed(
  signer: OnlineSigner,
  { payload }: SignedFeed,
  over: MessageInitShape<typeof RevocationFeedSchema>,
): SignedFeed {
  const { clusterId, epoch, seq, issuedAtMs, revocations }: RevocationFeed = fromBinary(RevocationFeedSchema, payload);
  const fields = { clusterId, epoch, seq, issuedAtMs, revocations };
  return signFeed(signer, create(RevocationFeedSchema, { ...fields, ...over }));
}

/** Kept evidence of a kind, by node. */
export function evidenceOf(world: FabricWorld, node: string, kind: "feed" | "snapshot"): readonly string[] {
  return readdirSync(stateDirOf(world, node)).filter((file) => file.startsWith(`${kind}-fork-`));
}

/** A client somebody is about to revoke, with a channel open. */
export interface Revocable extends AsyncDisposable {
  readonly name: string;
  readonly spiffe: string;
  readonly client: Client;
  /** Resolves when its channel has ended. */
  readonly ended: Promise<void>;
  revoke(): Promise<void>;
  /** Whether it is let in. */
  isServed(): Promise<boolean>;
}

export async function revocable(world: FabricWorld, name: string): Promise<Revocable> {
  const dir = join(world.scratch, name);
  await world.json("identity", "add", "client", name, "--organization", "demo", "--out", dir);
  const { trustDomain, clusterId, clientId: id } = clientIdentity(readClientFolder(dir).pems);
  const client = connect({ identity: dir });
  const channel = await until(() => client.open("echo").catch(() => false as const), `a channel of ${name}`);
  channel.on("error", () => {}).resume();
  return {
    name,
    spiffe: formatSpiffe({ trustDomain, clusterId, kind: "client", id }),
    client,
    ended: new Promise((resolve) => channel.once("close", () => resolve())),
    revoke: async () => void (await world.json("identity", "revoke", name)),
    isServed: () =>
      client.open("echo").then(
        (opened) => {
          opened.on("error", () => {}).destroy();
          return true;
        },
        () => false,
      ),
    [Symbol.asyncDispose]: () => client.close(),
  };
}

/** Waits until every node goes by a position beyond `seq`, all by the same one; returns that. */
export async function everywhereBeyond(world: FabricWorld, seq: bigint, withinMs = 15_000): Promise<bigint> {
  const names = world.fabric.plan.nodes.map(({ name }) => name);
  return await until(
    async () => {
      const positions = new Set((await Promise.all(names.map(world.status))).map(({ feedSeq }) => feedSeq));
      const [only = 0n] = positions;
      return positions.size === 1 && only > seq ? only : 0n;
    },
    `every node goes by a feed beyond ${seq}`,
    { withinMs, everyMs: 50 },
  ).then((at) => BigInt(at));
}

interface Listed {
  readonly alerts: readonly { readonly kind: string; readonly objectName: string; readonly object: string }[];
}

/** Waits for an alert of a kind; resolves with what it is about. */
export async function alerted(world: FabricWorld, kind: string): Promise<string> {
  const found = await until(
    async () => (await world.json<Listed>("alert", "list")).alerts.find((alert) => alert.kind === kind),
    `the alert ${kind}`,
    { withinMs: 30_000, everyMs: 500 },
  );
  return found.objectName === "" ? found.object : found.objectName;
}

/** Hears events of a node until it is closed. */
export function listenTo(world: FabricWorld, node: string) {
  const heard: WatchEventsResponse[] = [];
  const stop = new AbortController();
  const over = world.fabric
    .withSession((session) =>
      askFabricNode(world.fabric, session, node, async (client) => {
        for await (const event of client.watchEvents({}, { signal: stop.signal, timeoutMs: 0 })) heard.push(event);
      }),
    )
    .catch(() => {});
  return {
    heard,
    async close() {
      stop.abort();
      await over;
    },
  };
}

/** That nobody is let in again. */
export async function staysOut(who: Revocable, after: string): Promise<void> {
  holds(!(await who.isServed()), `${who.name} is let in again after ${after}`);
}
