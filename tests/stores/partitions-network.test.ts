/**
 * Partitions of real machines, as far as namespaces are: a primary and a standby with addresses of their own, between which
 * packets are dropped, and replicas that reach one of them, both or none. Needs root.
 */

import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { meetPrimary } from "../../control/store/terms.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { randomInt, seededRandom } from "../../lib/random.ts";
import { type ControlCluster, controlCluster, openCluster, storeContext } from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { Gate } from "../harness/gate.ts";
import { Namespaces, namespacesUnavailable } from "../harness/namespaces.ts";
import { type MemberPlace, ReplicatedPostgres } from "../harness/replicated-postgres.ts";
import { checkTerms } from "../harness/term-checker.ts";
import { type Kind, Ledger } from "../harness/told.ts";

const why = namespacesUnavailable();
if (why !== undefined) console.info(`partitions in network namespaces are not run: ${why}`);
const PARTITIONS = runs(1, 20);
const seed = Number(process.env["WEFT_SEED"] ?? 20_261_122);
const kinds: readonly Kind[] = ["fence", "serial", "revocation"];

/** A replica and its ways to the two members, in the order of the members' names. */
interface Reached {
  readonly cluster: ControlCluster;
  readonly sql: Sql;
  readonly gates: Readonly<Record<string, Gate>>;
}

describe.skipIf(why !== undefined)("LAW-C5 in network namespaces", () => {
  let namespaces: Namespaces;
  let places: readonly [MemberPlace, MemberPlace];
  let pair: ReplicatedPostgres;
  const replicas: Reached[] = [];

  beforeAll(async () => {
    namespaces = new Namespaces();
    const place = (name: string): MemberPlace => {
      const { address, through } = namespaces.add(name);
      return { host: address, through };
    };
    places = [place("a"), place("b")];
    pair = await ReplicatedPostgres.start({ places });
    const members = pair.members;
    let first: ControlCluster | undefined;
    for (let count = 0; count < 2; count += 1) {
      const gates: Record<string, Gate> = {};
      for (const { host, port } of members) gates[`${host}:${port}`] = await Gate.listen("127.0.0.1", port, host);
      const hosts = Object.values(gates).map((gate) => `127.0.0.1:${gate.port}`);
      const url = `postgres://weft@${hosts.join()}/postgres`;
      const sql = openPostgres({ url, log: silentLog, statementTimeoutMs: 500 });
      const cluster: ControlCluster =
        first === undefined
          ? await controlCluster(sql)
          : await openCluster(storeContext(sql), first.clusterId, first.operator.id?.id ?? "");
      first ??= cluster;
      await sql.onPrimary(async (tx, primary) => void (await meetPrimary(tx, cluster.ctx, primary)));
      replicas.push({ cluster, sql, gates });
    }
  }, 120_000);
  afterAll(async () => {
    for (const { sql, gates } of replicas) {
      for (const gate of Object.values(gates)) gate.stop();
      await sql.close();
    }
    await pair.stop();
    await namespaces.remove();
  }, 60_000);

  /** Drops, at one member, what comes from and goes to the other. */
  function cutMembers(at: MemberPlace, other: MemberPlace): () => void {
    const nft = (text: string): void => {
      const [program = "", ...args] = [...at.through, "nft", "-f", "-"];
      execFileSync(program, args, { input: text, stdio: ["pipe", "ignore", "pipe"] });
    };
    nft(`table inet weft_pair {
      chain in { type filter hook input priority 0; ip saddr ${other.host} drop; }
      chain out { type filter hook output priority 0; ip daddr ${other.host} drop; }
    }`);
    return () => nft("delete table inet weft_pair");
  }

  /** What a replica says to one change of every kind. */
  async function ask(ledger: Ledger, { cluster }: Reached): Promise<readonly string[]> {
    const said: string[] = [];
    for (const kind of kinds) {
      said.push(
        await ledger.change(cluster, kind).then(
          () => "made",
          (thrown: unknown) => {
            if (thrown instanceof WeftError && thrown.reason === "unavailable") return thrown.detail;
            throw thrown;
          },
        ),
      );
    }
    return said;
  }

  it(
    `changes nothing on the side without the primary, in ${PARTITIONS} partitions`,
    async () => {
      const random = seededRandom(seed);
      const ledger = new Ledger();
      const said = new Map<string, number>();
      for (let round = 0; round < PARTITIONS; round += 1) {
        for (const replica of replicas)
          await eventually(() => ledger.change(replica.cluster, "serial").then(() => true));
        const { primaryName: old, standbyName: next } = pair;
        const at = places.find(({ host }) => old.startsWith(`${host}:`)) ?? places[0];
        const other = at === places[0] ? places[1] : places[0];
        const heal = cutMembers(at, other);
        // One replica is on the old primary's side, the other one on the standby's.
        const lonely = randomInt(random, 2);
        const [minority, majority] = lonely === 0 ? [replicas[0], replicas[1]] : [replicas[1], replicas[0]];
        if (minority === undefined || majority === undefined) throw new Error("two replicas are needed");
        minority.gates[next]?.close();
        majority.gates[old]?.close();
        const before = ledger.count;
        const alone = await ask(ledger, minority);
        await pair.promote();
        // Its operator has it go on without a second server.
        await pair.primary("alter system set synchronous_standby_names = ''");
        await pair.primary("select pg_reload_conf()");
        await eventually(() => ledger.change(majority.cluster, "revocation").then(() => true), { withinMs: 30_000 });
        const mine = ledger.count;
        const stillAlone = await ask(ledger, minority);
        for (const word of [...alone, ...stillAlone]) said.set(word, (said.get(word) ?? 0) + 1);
        expect({ round, minority: [...alone, ...stillAlone].filter((word) => word === "made") }).toEqual({
          round,
          minority: [],
        });
        expect(mine).toBeGreaterThan(before);
        heal();
        for (const gate of [...Object.values(minority.gates), ...Object.values(majority.gates)]) gate.open();
        // Both servers can be reached now, and one of them was replaced: who knows that asks the other.
        expect((await ask(ledger, majority)).filter((word) => word !== "made")).toEqual([]);
        await pair.rebuild();
        await pair.primary("alter system set synchronous_standby_names = '*'");
        await pair.primary("select pg_reload_conf()");
      }
      const [{ sql, cluster } = { sql: undefined, cluster: undefined }] = replicas;
      if (sql === undefined || cluster === undefined) throw new Error("no replica");
      const findings = await eventually(() => checkTerms(sql, cluster.ctx.seal));
      console.info(
        `${PARTITIONS} partitions in namespaces, seed ${seed}: ${ledger.count} changes told; without the primary: ` +
          `${[...said].map(([word, count]) => `${word} ${count}`).join(", ")}; ${findings.terms} terms, ${findings.records} records`,
      );
      expect(await ledger.missingFrom(sql)).toEqual([]);
      expect(findings.wrong).toEqual([]);
      expect(findings.terms).toBe(PARTITIONS + 1);
    },
    60_000 + PARTITIONS * 60_000,
  );
});
