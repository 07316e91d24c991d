/**
 * What a node's own key and certificate get somebody who uses them from elsewhere: no more than the node may do itself. The
 * same forgeries flood a relay in `weft attack`; here each is answered, one after the other.
 */

import { connect } from "node:net";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import { encodeLegPreamble } from "../../fabric/preamble.ts";
import type { ChannelOpen, ChannelOrigin } from "../../fabric/trunk/messages.ts";
import { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { forgeries } from "../attack/link-abuse.ts";
import { type AgreedPath, agree, bringLeg, reachFarEdge, StolenNode } from "../attack/stolen-node.ts";
import { type Check, holds, refused } from "../check.ts";
import { until } from "../until.ts";
import { stateDirOf } from "./lies.ts";
import type { FabricWorld } from "./world.ts";

const stolen = "entry-2";
const met = "relay-1";
const refusal = /OFFER_|FEED_BEHIND|PATH_|permission_denied|invalid_argument/;

async function offersRefused(world: FabricWorld): Promise<string> {
  const node = new StolenNode(stateDirOf(world, stolen));
  const relay = node.neighbour(met);
  const link = await node.link(relay);
  const said = new Set<string>();
  try {
    for (const forge of forgeries) {
      const answer = await refused(agree(link.relay, forge({ node, met: relay })), refusal);
      said.add(/(OFFER|PATH|FEED)_[A-Z_]+/.exec(answer)?.[0] ?? answer);
    }
    const good = node.offer(node.hopsThrough(relay));
    const agreed = await agree(link.relay, good);
    said.add(/OFFER_[A-Z]+/.exec(await refused(agree(link.relay, good), /OFFER_REPLAYED/))?.[0] ?? "");
    const leg = await bringLeg(relay, agreed.token);
    const again = await heardAfter(relay.addresses[0]?.port ?? 0, encodeLegPreamble(agreed.token));
    leg.destroy();
    agreed.stop();
    holds(again === 0, "a leg token was good twice");
  } finally {
    link.close();
  }
  return `${forgeries.length} forged offers, a repeated one and a used token refused: ${[...said].sort().join(", ")}`;
}

/** How much a port says to such first bytes before it ends the connection. */
function heardAfter(port: number, bytes: Uint8Array): Promise<number> {
  const socket = connect({ host: "127.0.0.1", port });
  let heard = 0;
  socket.on("data", (chunk: Buffer) => (heard += chunk.length)).on("error", () => {});
  socket.once("connect", () => socket.write(bytes));
  return new Promise((resolve) => socket.once("close", () => resolve(heard)));
}

const offersCount = 200;

async function pathsBounded(world: FabricWorld): Promise<string> {
  const node = new StolenNode(stateDirOf(world, stolen));
  const relay = node.neighbour(met);
  const link = await node.link(relay);
  const granted: AgreedPath[] = [];
  let pending = 0;
  let most = 0;
  let refusals = 0;
  const offer = async (): Promise<boolean> => {
    const agreed = await agree(link.relay, node.offer(node.hopsThrough(relay)));
    granted.push(agreed);
    pending += 1;
    most = Math.max(most, pending);
    void agreed.over.then(() => (pending -= 1));
    return true;
  };
  try {
    // What was offered in the node's name just before counts too: it may have to wait for its turn.
    await until(() => offer().catch(() => false), "an offer that is agreed to");
    await Promise.all(Array.from({ length: offersCount }, () => offer().catch(() => (refusals += 1))));
  } finally {
    for (const { stop } of granted) stop();
    link.close();
  }
  holds(most > 0 && refusals > 0, `${most} paths pending, ${refusals} refused`);
  holds(most <= limits.pendingPathsPerInitiatorMaxCount, `${most} paths were pending at once`);
  return `${offersCount} offers at once: ${granted.length} agreed to, ${most} pending at most (bound ${limits.pendingPathsPerInitiatorMaxCount})`;
}

/** A trunk of the stolen node to the egress beside the relay it meets. */
function stolenTrunks(node: StolenNode): TrunkPool {
  const relay = node.neighbour(met);
  return new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    async openPath({ trunkId, organizationId, farEdge }) {
      const link = await node.link(relay);
      const hops = [node.identity.nodeId, relay.nodeId, farEdge];
      try {
        const { token } = await agree(link.relay, node.offer(hops, { trunkId, organizationId }));
        const raw = await bringLeg(relay, token);
        raw.once("close", () => link.close());
        return { tls: await reachFarEdge(raw, node.pathTls(farEdge)), raw, hops };
      } catch (thrown) {
        link.close();
        throw thrown;
      }
    },
  });
}

async function channelsRefused(world: FabricWorld): Promise<string> {
  const node = new StolenNode(stateDirOf(world, stolen));
  const other = new StolenNode(stateDirOf(world, "entry-1"));
  const listenerOf = ({ snapshot }: StolenNode, resource: string): string =>
    snapshot.listeners.find((one) => one.resourceName === resource)?.listenerId ?? "";
  const { organizationId, identity } = node;
  const own: ChannelOrigin = {
    organizationId,
    entryNodeId: identity.nodeId,
    listenerId: listenerOf(node, "echo"),
    assurance: OriginAssurance.ANONYMOUS,
    clientId: "",
    sourceAddress: "127.0.0.1",
  };
  const open = (resource: string, origin: Partial<ChannelOrigin>): ChannelOpen => ({
    resource,
    class: node.snapshot.resourceRoutes.find(({ name }) => name === "echo")?.defaultClass ?? ChannelClass.BULK,
    origin: { ...own, ...origin },
    correlationId: "conformance",
  });
  const lies: Record<string, ChannelOpen> = {
    "another entry's name": open("echo", { entryNodeId: other.identity.nodeId }),
    "another entry's listener": open("echo", { listenerId: listenerOf(other, "echo") }),
    "a listener of something else": open("web", {}),
    "another organization": open("echo", { organizationId: "aaaaaaaaaaaaaaaa" }),
    "a client nobody knows": open("echo", { clientId: "aaaaaaaaaaaaaaaa", assurance: OriginAssurance.ENTRY_ASSERTED }),
    "a client that proved itself": open("echo", { clientId: "aaaaaaaaaaaaaaaa", assurance: OriginAssurance.PROVED }),
    "a resource that is not there": open("conformance-nowhere", {}),
  };
  const farEdge = String(world.fabric.process("egress-1").facts.nodeId);
  const pool = stolenTrunks(node);
  try {
    // What else the node offers counts too: it may have to wait for its turn.
    const opens = async (): Promise<boolean> => {
      const honest = await pool.open({ farEdge, organizationId }, open("echo", {}));
      honest.on("error", () => {});
      await honest.opened;
      return true;
    };
    await until(() => opens().catch(() => false), "its own channel opens");
    const said: string[] = [];
    for (const [what, lie] of Object.entries(lies)) {
      const channel = await pool.open({ farEdge, organizationId }, lie);
      channel.on("error", () => {});
      const answer = await refused(channel.opened, /NOT_ALLOWED|UNKNOWN_RESOURCE|permission|not_found/).catch(
        (thrown: unknown) => {
          throw new Error(`${what}: ${String(thrown)}`);
        },
      );
      said.push(answer.split(" ")[1] ?? answer);
    }
    const foreign = { farEdge, organizationId: "aaaaaaaaaaaaaaaa" };
    await refused(pool.open(foreign, open("echo", { organizationId: foreign.organizationId })), /NO_PATH|OFFER_|PATH_/);
    return `its own channel opens; ${said.length} claims and a trunk of another organization are refused (${[...new Set(said)].join(", ")})`;
  } finally {
    await pool.close();
  }
}

export const stolenChecks: readonly Check<FabricWorld>[] = [
  { id: "R1.stolen-offers", law: "LAW-R1", title: "forged and repeated offers by a stolen entry", run: offersRefused },
  { id: "C1.stolen-channels", law: "LAW-C1", title: "channels a stolen entry has no right to", run: channelsRefused },
  // Last: it uses up what the node may offer for the moment.
  { id: "R2.stolen-paths", law: "LAW-R2", title: "paths by the hundred in a stolen entry's name", run: pathsBounded },
];
