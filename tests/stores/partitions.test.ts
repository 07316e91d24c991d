/**
 * Partitions between replicas and their primary, on the real services: approve, issue, assign, change policy, rotate, revoke,
 * lease. A replica without the primary changes nothing; the store that is left proves it.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256 } from "../../certs/keys.ts";
import type { SealingKey } from "../../certs/seal.ts";
import {
  callerOfSpiffe,
  createWorld,
  enrollRequest,
  freshHost,
  joinNode,
  Replica,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { leaseService } from "../../control/services/lease.ts";
import { qosService } from "../../control/services/qos.ts";
import { roleService } from "../../control/services/role.ts";
import type { Sql } from "../../control/store/sql.ts";
import { meetPrimary } from "../../control/store/terms.ts";
import { IdentityKind } from "../../gen/weft/admin/v1/identity_pb.ts";
import { QosService } from "../../gen/weft/admin/v1/qos_pb.ts";
import { RoleService } from "../../gen/weft/admin/v1/role_pb.ts";
import { ChannelClass, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { type Random, randomInt, seededRandom, shuffled } from "../../lib/random.ts";
import { rpcClient } from "../../rpc/client.ts";
import { callAs } from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { PartitionedStore } from "../harness/partitioned-store.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";
import { checkTerms } from "../harness/term-checker.ts";

const SEEDS = runs(25, 1_000);
const SEEDS_PER_WORLD = 25;
const replicaNames = ["one", "two", "three"] as const;
type Name = (typeof replicaNames)[number];

/** What is asked of a replica; resolves with what the audit chain calls it. */
interface Change {
  readonly what: string;
  readonly make: () => Promise<string>;
}

class Totals {
  readonly told: string[] = [];
  readonly refused = new Map<string, number>();
  /** Asked of a replica without the primary. */
  asked = 0;
  /** Made by one. */
  readonly minority: string[] = [];
  readonly unexpected: string[] = [];
}

let postgres: Databases;
beforeAll(async () => {
  postgres = await sharedPostgres();
});
afterAll(() => postgres.stop(), 60_000);

/** One installation, three replicas of it, things to change. */
class Stage {
  readonly store: PartitionedStore;
  readonly world: World;
  readonly replicas: Readonly<Record<Name, Replica>>;
  readonly nodeId: string;
  readonly nodeSpiffe: string;
  readonly organizationId: string;
  readonly #sqls: readonly Sql[];
  #count = 0;

  private constructor(
    made: Pick<Stage, "store" | "world" | "replicas" | "nodeId" | "nodeSpiffe" | "organizationId">,
    sqls: readonly Sql[],
  ) {
    this.store = made.store;
    this.world = made.world;
    this.replicas = made.replicas;
    this.nodeId = made.nodeId;
    this.nodeSpiffe = made.nodeSpiffe;
    this.organizationId = made.organizationId;
    this.#sqls = sqls;
  }

  static async open(): Promise<Stage> {
    const store = await PartitionedStore.open(postgres);
    const sqls = replicaNames.map((name) => store.replica(name));
    const [first] = sqls;
    if (first === undefined) throw new Error("no replica");
    const world = await createWorld(first);
    const made = await Promise.all(sqls.map((sql) => openReplica(sql, world.sealingKey)));
    const [one, two, three] = made;
    if (one === undefined || two === undefined || three === undefined) throw new Error("no replicas");
    const joined = await joinNode(world, "relay-1");
    const { organization } = await world.operator.organizations.createOrganization({
      clusterId: world.clusterId,
      name: "acme",
    });
    const facts = { nodeId: joined.identity.nodeId, nodeSpiffe: joined.spiffe, organizationId: organization?.id ?? "" };
    return new Stage({ store, world, replicas: { one, two, three }, ...facts }, sqls);
  }

  async close(): Promise<void> {
    for (const sql of this.#sqls) await sql.close();
    await this.store.close();
  }

  /** The changes a replica is asked for, each with a name of its own; resolves with what proves it. */
  async changes(at: Name): Promise<readonly Change[]> {
    const { clusterId, operatorCaller } = this.world;
    const deps = this.replicas[at].deps;
    const operator = this.replicas[at].as(operatorCaller);
    const roles = rpcClient(
      RoleService,
      callAs(operatorCaller, (router) => router.service(RoleService, roleService(deps))),
    );
    const qos = rpcClient(
      QosService,
      callAs(operatorCaller, (router) => router.service(QosService, qosService(deps))),
    );
    this.#count += 1;
    const name = `n${this.#count}`;
    const keys = generateP256();
    const csr = await makeCsr(keys);
    const grant = { role: NodeRole.RELAY, organizationId: this.organizationId };
    const place = { clusterId, nodeId: this.nodeId, grant };
    return [
      {
        what: "issue",
        make: async () => {
          const about = { kind: IdentityKind.CLIENT, name, csr, clusterId, organizationId: this.organizationId };
          const { identity } = await operator.identities.addIdentity(about);
          return `client/${identity?.id}`;
        },
      },
      {
        what: "rotate",
        make: async () => {
          await operator.identities.renewOperator({ csr: await makeCsr(generateP256()) });
          return operatorCaller.spiffe;
        },
      },
      {
        what: "assign",
        make: async () => {
          await roles.removeRole(place).catch(unlessSaysNo);
          await roles.assignRole(place);
          return `node/${this.nodeId}`;
        },
      },
      {
        what: "policy",
        make: async () => {
          const rate = { priority: 1 + (this.#count % 60), rateBytesPerSecond: 0n, burstBytes: 0n };
          const { policy } = await qos.setQosPolicy({ clusterId, class: ChannelClass.BULK, ...rate });
          return `qos/${policy?.id}`;
        },
      },
      { what: "lease", make: () => this.#lease(at, name) },
      { what: "approve", make: () => this.#approve(at, name) },
    ];
  }

  async #lease(at: Name, name: string): Promise<string> {
    const deps = this.replicas[at].deps;
    const transport = callAs(callerOfSpiffe(this.nodeSpiffe), (router) =>
      router.service(LeaseService, leaseService(deps)),
    );
    await rpcClient(LeaseService, transport).acquire({ name: `work/${name}`, bootId: "b", ttlMs: 5_000n });
    return `lease/work/${name}`;
  }

  /** From token to approval: four changes, each of which may be refused. */
  async #approve(at: Name, name: string): Promise<string> {
    const { clusterId, operatorCaller } = this.world;
    const operator = this.replicas[at].as(operatorCaller);
    const stranger = this.replicas[at].as(strangerOf(clusterId));
    const { text } = await operator.tokens.createToken({ clusterId });
    const { requestId } = await stranger.enrollment.enroll(enrollRequest(text, await freshHost(), { nodeName: name }));
    const { request } = await operator.requests.getRequest({ clusterId, requestId });
    if (request === undefined) throw new Error("no request");
    const { keyHash, addresses, requestedRoles } = request;
    await operator.requests.approveRequest({ clusterId, requestId, keyHash, addresses, roles: requestedRoles, name });
    return `request/${requestId}`;
  }
}

async function openReplica(sql: Sql, key: SealingKey): Promise<Replica> {
  const replica = new Replica(sql, key);
  await sql.onPrimary(async (tx, primary) => void (await meetPrimary(tx, replica.deps, primary)));
  return replica;
}

/** A role that is not there, or there already, is no matter here. */
function unlessSaysNo(thrown: unknown): void {
  if (thrown instanceof WeftError && thrown.reason === "unavailable") throw thrown;
}

const alone = ["a", "b", "c"] as const;

/** Asks every replica for one change, whatever each of them reaches. */
async function step(stage: Stage, random: Random, totals: Totals): Promise<void> {
  await Promise.all(
    replicaNames.map(async (name) => {
      const changes = await stage.changes(name);
      const change = changes[randomInt(random, changes.length)];
      if (change === undefined) throw new Error("no change");
      const hasPrimary = stage.store.hasPrimary(name);
      if (!hasPrimary) totals.asked += 1;
      try {
        totals.told.push(await change.make());
        if (!hasPrimary) totals.minority.push(`${change.what} at ${name}`);
      } catch (thrown) {
        // Two replicas may set one policy at once; then one is told that.
        const isNotNow =
          thrown instanceof WeftError && (thrown.reason === "unavailable" || thrown.reason === "aborted");
        if (!isNotNow) {
          totals.unexpected.push(`${change.what}: ${String(thrown)}`);
        } else totals.refused.set(thrown.detail, (totals.refused.get(thrown.detail) ?? 0) + 1);
      }
    }),
  );
}

async function steps(stage: Stage, random: Random, totals: Totals, wander: () => void): Promise<void> {
  for (let left = 1 + randomInt(random, 2); left > 0; left -= 1) {
    wander();
    await step(stage, random, totals);
  }
}

/** One partition: the primary is cut off, sooner or later replaced, and follows in the end. Replicas wander all the while. */
async function partition(stage: Stage, seed: number, totals: Totals): Promise<void> {
  const { store } = stage;
  const random = seededRandom(seed);
  await step(stage, random, totals);
  const cutOff = await store.cutPrimaryOff();
  const others = alone.filter((name) => name !== cutOff);
  const wander = (): void => {
    const views = [[cutOff], others, [...alone], []] as const;
    for (const name of replicaNames) store.reach(name, views[randomInt(random, views.length)] ?? []);
  };
  await steps(stage, random, totals, wander);
  const [next] = shuffled(random, others);
  if (next !== undefined) store.promote(next);
  await steps(stage, random, totals, wander);
  await store.heal();
  await step(stage, random, totals);
}

async function requireKept(stage: Stage, told: readonly string[]): Promise<void> {
  const { deps } = stage.replicas.one;
  const rows = await deps.sql.query<{ object: string }>(
    "select distinct object from audit union select distinct actor from audit",
  );
  const objects = new Set(rows.map(({ object }) => object));
  expect(told.filter((object) => !objects.has(object))).toEqual([]);
}

describe("LAW-C5 a replica without the primary", () => {
  it(
    `changes nothing in ${SEEDS} partitions`,
    async () => {
      const sum = { told: 0, asked: 0, refused: new Map<string, number>(), terms: 0, records: 0, rows: 0 };
      for (let seed = 1; seed <= SEEDS; ) {
        const stage = await Stage.open();
        const totals = new Totals();
        let partitions = 0;
        for (; partitions < SEEDS_PER_WORLD && seed <= SEEDS; partitions += 1, seed += 1) {
          await partition(stage, seed, totals);
          expect({ seed, made: totals.minority, unexpected: totals.unexpected }).toEqual({
            seed,
            made: [],
            unexpected: [],
          });
        }
        const { deps } = stage.replicas.two;
        const findings = await checkTerms(deps.sql, deps.seal);
        expect({ seed, wrong: findings.wrong }).toEqual({ seed, wrong: [] });
        // Each promotion began one term, whoever of the replicas met it first.
        expect(findings.terms).toBe(partitions + 1);
        await requireKept(stage, totals.told);
        sum.told += totals.told.length;
        sum.asked += totals.asked;
        sum.terms += findings.terms;
        sum.records += findings.records;
        sum.rows += findings.rows;
        for (const [detail, count] of totals.refused) sum.refused.set(detail, (sum.refused.get(detail) ?? 0) + count);
        await stage.close();
      }
      const refused = [...sum.refused].map(([detail, count]) => `${detail} ${count}`).join(", ");
      console.info(
        `${SEEDS} partitions: ${sum.told} changes told, ${sum.asked} asked of replicas without the primary, 0 made; refused: ${refused}; ` +
          `${sum.rows} trust rows, ${sum.records} records, ${sum.terms} terms checked`,
      );
      expect(sum.asked).toBeGreaterThan(SEEDS);
    },
    60_000 + SEEDS * 5_000,
  );
});
