import { beforeEach, expect, it } from "vitest";
import { createWorld, enrollRequest, freshHost, Replica, type World } from "../../conformance/stores/plane.ts";
import { runJobs, startControlJobs } from "../../control/jobs/jobs.ts";
import { acceptProofOnce } from "../../control/store/requests.ts";
import { ManualClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { eventually } from "../harness/eventually.ts";
import { describeStores } from "./stores.ts";

describeStores("control's jobs", (store) => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  async function expiredRequest(): Promise<string> {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost()));
    await world.sql.query("update join_request set expires_at_ms = now_ms() - 1 where id = $1", [requestId]);
    return requestId;
  }
  const states = async () => await world.sql.query("select state from join_request");
  const records = async () => await world.sql.query("select 1 as found from audit where action = 'request.expired'");

  it("write down once that a request has run out, however many replicas look", async () => {
    await expiredRequest();
    const replicas = [1, 2, 3].map(() => new Replica(world.sql, world.sealingKey).deps);
    await Promise.all(replicas.map((deps) => runJobs(deps)));
    expect(await states()).toEqual([{ state: "expired" }]);
    expect(await records()).toHaveLength(1);
  });

  it("leave a request that has time left, and forget only proofs whose date has passed", async () => {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
    await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost()));
    const accept = async (lifeMs: number, hash: string) =>
      await world.sql.tx((tx) => acceptProofOnce(tx, hash, lifeMs));
    expect(await accept(600_000, "a")).toBe(true);
    expect(await accept(-1, "b")).toBe(true);
    await runJobs(world.replica.deps);
    expect(await states()).toEqual([{ state: "pending" }]);
    // LAW-I3: a proof that is still in date acts once.
    expect(await accept(600_000, "a")).toBe(false);
    expect(await accept(600_000, "b")).toBe(true);
  });

  it("run by the clock and stop with it", async () => {
    const requestId = await expiredRequest();
    const clock = new ManualClock();
    const jobs = startControlJobs(new Replica(world.sql, world.sealingKey, { clock }).deps);
    expect(await records()).toEqual([]);
    clock.advance(limits.jobEveryMs);
    await eventually(async () => (await records()).length === 1, { what: `the end of ${requestId}` });
    await jobs.stop();
    expect(clock.nextDueInMs()).toBeUndefined();
  });
});
