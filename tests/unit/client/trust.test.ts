/** What a client believes of what entries hand on, and how often it asks them. */

import { expect, it } from "vitest";
import { rootKinds, signTrustBundle } from "../../../certs/bundle.ts";
import { createInstallationKey, installationKeyHash } from "../../../certs/installation.ts";
import { spiffeKinds } from "../../../certs/spiffe.ts";
import { clientIdentity } from "../../../client/identity.ts";
import { ClientTrust } from "../../../client/trust.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { eventually } from "../../harness/eventually.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki("cl-a");
const installation = createInstallationKey();
const clock = new ManualClock();
const leaf = await pki.leaf("client", "ct-a", { nowMs: clock.nowMs() });
const identity = clientIdentity({
  keyPem: leaf.keyPem,
  certificatePem: leaf.certificatePem,
  entryRootsPem: pki.cas.node.root.pem,
  poolRootsPem: pki.cas.pool.root.pem,
  organizationId: "org-a",
  installationKeyHash: installationKeyHash(installation.spkiDer),
  bundleVersion: 3,
});

function bundle(version: bigint, clusterId: string) {
  const signed = signTrustBundle(installation.privateKey, {
    ...{ trustDomain: pki.trustDomain, clusterId, clusterSlug: "default", version },
    roots: spiffeKinds.map((kind) => ({ kind: rootKinds[kind], certificateDer: pki.cas[kind].root.der })),
  });
  return { bundle: signed.bytes, signature: signed.signature, installationPublicKey: installation.spkiDer };
}
type Answer = ReturnType<typeof bundle>;

const nothing: Answer = {
  bundle: new Uint8Array(),
  signature: new Uint8Array(),
  installationPublicKey: new Uint8Array(),
};

it.each<[string, Answer]>([
  ["with nothing", nothing],
  ["with another cluster's roots", bundle(9n, "cl-b")],
  ["with older ones", bundle(2n, "cl-a")],
])("an entry that answers at once %s is asked now and then, and changes nothing", async (_what, answer) => {
  const trust = new ClientTrust({ read: () => identity, folder: undefined, clock, log: silentLog });
  const over = new AbortController();
  let calls = 0;
  const entry = {
    getClientTrust: async () => {
      calls += 1;
      if (calls > 20) over.abort();
      return answer;
    },
  };
  const done = trust.follow(entry as unknown as Parameters<ClientTrust["follow"]>[0], over.signal);
  for (const asked of [2, 3, 4]) {
    await eventually(() => over.signal.aborted || clock.nextDueInMs() !== undefined, { everyMs: 1 });
    expect(calls).toBe(asked);
    clock.advance(limits.clientTrustRetryMs);
  }
  over.abort();
  await done;
  expect(trust.identity()).toBe(identity);
});

it("newer roots count from the answer on that brings them, and the next are waited for at once", async () => {
  const trust = new ClientTrust({ read: () => identity, folder: undefined, clock, log: silentLog });
  const over = new AbortController();
  const held: bigint[] = [];
  const entry = {
    getClientTrust: async ({ heldVersion }: { readonly heldVersion: bigint }) => {
      held.push(heldVersion);
      if (held.length === 3) await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
      return bundle(BigInt(3 + held.length), "cl-a");
    },
  };
  const done = trust.follow(entry as unknown as Parameters<ClientTrust["follow"]>[0], over.signal);
  await eventually(() => held.length === 3, { everyMs: 1 });
  expect(held).toEqual([0n, 4n, 5n]);
  expect(trust.identity().bundleVersion).toBe(5);
  over.abort();
  await done;
});
