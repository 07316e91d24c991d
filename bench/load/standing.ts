/**
 * The fabric of a bench: what `weft up` starts, plus resources with listeners of the bench's own and the means to look at
 * nodes, start one again, and enrol another relay.
 */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { writeSecretFile } from "../../certs/secret-file.ts";
import { type Fabric, type FabricOptions, startFabric } from "../../cli/up/fabric.ts";
import { freePorts, layoutOf, type NodePlan } from "../../cli/up/layout.ts";
import { type Child, startChild } from "../../cli/up/processes.ts";
import { approve, tokenFor } from "../../cli/up/provision.ts";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { NodeService, type TrunkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { replaceFile } from "../../lib/files.ts";
import packageFacts from "../../package.json" with { type: "json" };
import { rpcClient } from "../../rpc/client.ts";
import { nodePortTls, type OperatorContext } from "../../rpc/operator-context.ts";
import { type ClosableTransport, operatorTransport } from "../../rpc/operator-transport.ts";
import { eventually } from "../../tests/harness/eventually.ts";

export interface NodeHandle {
  readonly name: string;
  readonly id: string;
  readonly child: Child;
  readonly client: Client<typeof NodeService>;
}

export interface LoadResource {
  readonly name: string;
  /** Where its target listens on loopback. */
  readonly targetPort: number;
  /** As an operator would say what it is; decides the default class. */
  readonly service?: string;
  readonly minimumAssurance?: OriginAssurance;
}

export const entryName = "entry-1";
export const egressName = "egress-1";
const poolName = "bench-exit";

export class Standing {
  readonly fabric: Fabric;
  readonly clusterId: string;
  readonly context: OperatorContext;
  readonly #nodes = new Map<string, NodeHandle>();
  readonly #transports = new Map<string, ClosableTransport>();
  readonly #extra: { stop(): Promise<void> }[] = [];

  private constructor(fabric: Fabric, clusterId: string, context: OperatorContext) {
    this.fabric = fabric;
    this.clusterId = clusterId;
    this.context = context;
    for (const child of fabric.processes) if (child.role !== "control") this.#adopt(child);
  }

  /** Starts a fabric and gives it a pool whose only member is `egressName`. */
  static async start(options: FabricOptions): Promise<Standing> {
    const fabric = await startFabric({ logLevel: "warn", ...options });
    try {
      return await fabric.withSession(async (session) => {
        const clusterId = await session.clusterId();
        const organizationId = await organizationOf(session, clusterId);
        const { pool } = await session.client(PoolService).createPool({ clusterId, organizationId, name: poolName });
        const nodeId = String(fabric.process(egressName).facts.nodeId);
        await session.client(PoolService).addPoolNode({ clusterId, poolId: pool?.id ?? "", nodeId });
        return new Standing(fabric, clusterId, session.context);
      });
    } catch (thrown) {
      await fabric.stop();
      throw thrown;
    }
  }

  get control(): Child {
    return this.fabric.process("control");
  }

  node(name: string): NodeHandle {
    const found = this.#nodes.get(name);
    if (found === undefined) throw new Error(`no node is named ${name}`);
    return found;
  }

  get nodes(): readonly NodeHandle[] {
    return [...this.#nodes.values()];
  }

  nodeById(id: string): NodeHandle | undefined {
    return this.nodes.find((node) => node.id === id);
  }

  /** Makes a resource behind the bench's pool and a listener for it at the entry; resolves with the listener's port once it is bound. */
  async addResource(resource: LoadResource): Promise<number> {
    const [port = 0] = await freePorts(1);
    await this.fabric.withSession(async (session) => {
      const { clusterId } = this;
      const organizationId = await organizationOf(session, clusterId);
      const { pools } = await session.client(PoolService).listPools({ clusterId });
      const added = await session.client(ResourceService).addResource({
        clusterId,
        organizationId,
        poolId: pools.find(({ name }) => name === poolName)?.id ?? "",
        name: resource.name,
        kind: ResourceKind.TCP,
        minimumAssurance: resource.minimumAssurance ?? OriginAssurance.ANONYMOUS,
        host: "127.0.0.1",
        port: resource.targetPort,
        service: resource.service ?? "",
      });
      await session.client(ListenerService).addListener({
        clusterId,
        organizationId,
        name: resource.name,
        resourceId: added.resource?.id ?? "",
        entryNodeId: this.node(entryName).id,
        bindHost: "127.0.0.1",
        bindPort: port,
      });
    });
    await eventually(
      async () => {
        const { listeners } = await this.node(entryName).client.getStatus({});
        return listeners.some(({ name, boundAddress }) => name === resource.name && boundAddress !== "");
      },
      { withinMs: 15_000, everyMs: 50, what: `the listener of ${resource.name}` },
    );
    return port;
  }

  /** The trunk from the entry to the egress, as the entry sees it; the one with most channels where there are several. */
  async trunk(): Promise<TrunkStatus | undefined> {
    const { trunks } = await this.node(entryName).client.listTrunks({});
    const far = this.node(egressName).id;
    const found = trunks.filter((trunk) => trunk.farNodeId === far);
    return found.toSorted((a, b) => b.channels - a.channels)[0];
  }

  /** Starts the process of a node that ended again, from what its folder holds. */
  async startAgain(name: string): Promise<NodeHandle> {
    const { child } = this.node(name);
    this.#forget(name);
    return await this.#run(name, child.role, undefined);
  }

  /** Ends a node for good. */
  async remove(name: string): Promise<void> {
    const { child } = this.node(name);
    this.#forget(name);
    process.kill(child.pid, "SIGKILL");
    await child.exited;
  }

  /** Enrols one more relay under a name not used before. */
  async addRelay(name: string): Promise<NodeHandle> {
    const layout = layoutOf(this.fabric.root);
    const [publicPort = 0] = await freePorts(1);
    const plan: NodePlan = { name, role: "relay", publicPort };
    mkdirSync(layout.nodeDir(name), { recursive: true, mode: 0o700 });
    const like = JSON.parse(readFileSync(join(layout.nodeDir("relay-1"), "node.json"), "utf8")) as Record<
      string,
      object
    >;
    const config = {
      ...like,
      stateDir: join(layout.nodeDir(name), "state"),
      publicPort,
      join: {
        ...like.join,
        tokenFile: join(layout.nodeDir(name), "join.token"),
        name,
        addresses: [{ host: "127.0.0.1", port: publicPort }],
      },
    };
    replaceFile(join(layout.nodeDir(name), "node.json"), `${JSON.stringify(config, null, 2)}\n`);
    return await this.fabric.withSession(async (session) => {
      writeSecretFile(join(layout.nodeDir(name), "join.token"), await tokenFor(session, plan));
      return await this.#run(name, "relay", (announced) => approve(session, plan, announced));
    });
  }

  async stop(): Promise<void> {
    for (const name of [...this.#nodes.keys()]) this.#forget(name);
    await Promise.all(this.#extra.map((child) => child.stop()));
    await this.fabric.stop();
  }

  async #run(
    name: string,
    role: string,
    enroll: ((announced: { requestId: string; keyFingerprint: string }) => Promise<string>) | undefined,
  ): Promise<NodeHandle> {
    const layout = layoutOf(this.fabric.root);
    const child = await startChild(
      {
        name,
        role,
        script: "node/bin.ts",
        runtimeFlags: packageFacts.config.dataPlaneFlags,
        args: ["--config", join(layout.nodeDir(name), "node.json")],
        logs: layout.logs,
        onLine: (line) => {
          if (line.pending !== true || enroll === undefined) return;
          // A refusal shows as a start that never comes.
          enroll({ requestId: String(line.requestId), keyFingerprint: String(line.keyFingerprint) }).catch(() => {});
        },
      },
      (spawned) => this.#extra.push(spawned),
    );
    return this.#adopt(child);
  }

  #adopt(child: Child): NodeHandle {
    const id = String(child.facts.nodeId);
    const transport = operatorTransport({
      address: String(child.facts.operator),
      tls: nodePortTls(this.context, this.clusterId, id, () => systemClock.nowMs()),
    });
    const handle = { name: child.name, id, child, client: rpcClient(NodeService, transport) };
    this.#transports.set(child.name, transport);
    this.#nodes.set(child.name, handle);
    return handle;
  }

  #forget(name: string): void {
    this.#transports.get(name)?.close();
    this.#transports.delete(name);
    this.#nodes.delete(name);
  }
}

async function organizationOf(
  session: Parameters<Parameters<Fabric["withSession"]>[0]>[0],
  clusterId: string,
): Promise<string> {
  const { organizations } = await session.client(OrganizationService).listOrganizations({ clusterId });
  return organizations.find(({ name }) => name === "demo")?.id ?? "";
}

/** Revokes a node's identity at control; resolves with the position of the feed that says so. */
export async function revokeNode(standing: Standing, nodeId: string): Promise<{ epoch: bigint; seq: bigint }> {
  return await standing.fabric.withSession(async (session) => {
    const { clusterId } = standing;
    const answer = await session.client(NodeAdminService).revokeNode({ clusterId, nodeId, reason: "bench" });
    return { epoch: answer.feedEpoch, seq: answer.feedSeq };
  });
}
