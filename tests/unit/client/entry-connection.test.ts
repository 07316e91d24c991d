/** A client's connection to an entry: made when something is asked, and from then on made anew before it ends. */

import { expect, it } from "vitest";
import { EntryConnection } from "../../../client/entry-connection.ts";
import { clientIdentity } from "../../../client/identity.ts";
import { PathService } from "../../../gen/weft/access/v1/access_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { clientEntryPolicy } from "../../../node/rpc-policy.ts";
import { eventually } from "../../harness/eventually.ts";
import { serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";

async function stage(lifeMs?: number) {
  const trust = await TestTrust.create();
  const served = await serveSurface(trust, {
    arrivedBy: "client-name",
    routes: (router) => void router.service(PathService, {}),
    policy: clientEntryPolicy,
  });
  const leaf = await trust.leaf("client", "ct-1", lifeMs);
  const identity = clientIdentity({
    keyPem: leaf.keyPem,
    certificatePem: leaf.certificatePem,
    entryRootsPem: trust.ca("node").root.pem,
    poolRootsPem: trust.ca("pool").root.pem,
    organizationId: "org-1",
  });
  const clock = new ManualClock(Date.now());
  const heard: AbortSignal[] = [];
  let dials = 0;
  const entry = new EntryConnection({
    address: { host: "127.0.0.1", port: served.port },
    identity: () => {
      dials += 1;
      return identity;
    },
    clock,
    onConnected: (_paths, over) => void heard.push(over),
  });
  return {
    ...{ entry, leaf, clock, dials: () => dials },
    /** Connections that were made, and those that are open. */
    heard: () => [heard.length, heard.filter(({ aborted }) => !aborted).length],
    async [Symbol.asyncDispose]() {
      entry.close();
      await served[Symbol.asyncDispose]();
    },
  };
}

it("LAW-I4 is made anew half way to the end of its leaves, and when told to, so that news is heard all the while", async () => {
  await using all = await stage();
  const { entry, leaf, clock, dials, heard } = all;
  // Nobody is dialled who was not asked anything.
  entry.renew();
  expect(dials()).toBe(0);
  expect(await entry.entryId()).toBe("nd-server");
  expect(heard()).toEqual([1, 1]);
  entry.renew();
  await eventually(() => heard().join() === "2,1");
  clock.advance((leaf.notAfterMs - clock.nowMs()) / 2 + 1_000);
  await eventually(() => heard().join() === "3,1");
  entry.close();
  await eventually(() => heard().join() === "3,0");
  entry.renew();
  clock.advance(leaf.notAfterMs);
  expect(dials()).toBe(3);
});

it("under a leaf that has ended ends at once, and is not made again and again", async () => {
  await using all = await stage(60_000);
  const { entry, clock, dials, heard } = all;
  clock.stepWall(61_000);
  await entry.entryId();
  clock.advance(1);
  await eventually(() => heard().join() === "1,0");
  expect(dials()).toBe(1);
});
