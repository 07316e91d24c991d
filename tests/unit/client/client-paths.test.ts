import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { ClientPaths } from "../../../client/client-paths.ts";
import type { EntryConnection } from "../../../client/entry-connection.ts";
import { type ClientIdentity, clientIdentity } from "../../../client/identity.ts";
import type { PathWish } from "../../../edge/trunk-pool.ts";
import { verifyAsk } from "../../../fabric/path/ask.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { eventually } from "../../harness/eventually.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki("cl-a");
const clock = new ManualClock();
const leaf = await pki.leaf("client", "ct-a", { nowMs: clock.nowMs() });
const identity: ClientIdentity = clientIdentity({
  keyPem: leaf.keyPem,
  certificatePem: leaf.certificatePem,
  entryRootsPem: pki.cas.node.root.pem,
  poolRootsPem: pki.cas.pool.root.pem,
  organizationId: "org-a",
});

const clientSpki = createPublicKey(leaf.certificatePem).export({ type: "spki", format: "der" });

type Request = Parameters<EntryConnection["openPath"]>[0];

/** Entries that answer every ask with a refusal: what is seen is who was asked, and for what. */
function stage(...ids: readonly string[]) {
  return stageOf(ids);
}

/** The entries of `legs` give one: where it leads is dialled. */
function stageOf(ids: readonly string[], legs: ReadonlyMap<string, number> = new Map()) {
  const asked: { entryId: string; request: Request }[] = [];
  const refused: string[] = [];
  const down = new Set<string>();
  let refusal = (): WeftError => new WeftError("unavailable", "not now", { detail: "NO_PATH" });
  const entries = ids.map(
    (entryId) =>
      ({
        address: { host: legs.has(entryId) ? "127.0.0.1" : entryId, port: legs.get(entryId) ?? 1 },
        entryId: async () => {
          if (down.has(entryId)) throw new WeftError("unavailable", "away", { detail: "DIAL_FAILED" });
          return entryId;
        },
        openPath: async (request: Request) => {
          asked.push({ entryId, request });
          if (!legs.has(entryId)) throw refusal();
          const ready = { poolId: "pl-a", resumeHandle: new Uint8Array(32), legToken: new Uint8Array(32).fill(1) };
          return { ready, events: (async function* () {})() };
        },
      }) as unknown as EntryConnection,
  );
  const paths = new ClientPaths({
    entries,
    identity: () => identity,
    clock,
    random: systemRandom,
    log: silentLog,
    lease: () => undefined,
    onClass: () => {},
    onRefused: (trunk) => refused.push(trunk),
  });
  const trunkId = systemRandom.bytes(16);
  const open = async (wish: Partial<PathWish> = {}): Promise<WeftError> => {
    asked.length = 0;
    const whole: PathWish = {
      farEdge: "web/0",
      organizationId: "org-a",
      trunkId,
      lane: "bulk",
      purpose: "first",
      beside: [],
      shun: [],
      urgent: true,
      signal: new AbortController().signal,
      ...wish,
    };
    return (await paths.open(whole).catch((thrown: unknown) => thrown)) as WeftError;
  };
  return {
    check: () => paths.check("web", undefined, new AbortController().signal).catch((thrown: unknown) => thrown),
    asked,
    refused,
    down,
    open,
    who: () => asked.map(({ entryId }) => entryId),
    refuse: (reason: WeftError["reason"], detail: string) => {
      refusal = () => new WeftError(reason, "no", { detail });
    },
  };
}

const beside = (...entryIds: readonly string[]) => entryIds.map((entry) => ["ct-a", entry, "path-1", "pl-a"]);

describe("a client that needs a path", () => {
  it("asks its entries in order, each once, and says what the last one said", async () => {
    const { open, who } = stage("en-1", "en-2", "en-3");
    expect(await open()).toMatchObject({ reason: "unavailable", detail: "NO_PATH" });
    expect(who()).toEqual(["en-1", "en-2", "en-3"]);
  });

  it("that only wants to know asks every entry for a first path, and says the refusal that tells most", async () => {
    const { check, asked, who, refuse } = stage("en-1", "en-2");
    expect(await check()).toMatchObject({ reason: "unavailable", detail: "NO_PATH" });
    refuse("not_found", "UNKNOWN_RESOURCE");
    expect(await check()).toMatchObject({ reason: "not_found", detail: "UNKNOWN_RESOURCE" });
    expect(who()).toEqual(["en-1", "en-2", "en-1", "en-2"]);
    for (const { request } of asked) expect(request).toMatchObject({ standby: false, resumeHandle: new Uint8Array() });
  });

  it("signs an ask of its own for every attempt: this client, resource and trunk, for seconds", async () => {
    const { open, asked } = stage("en-1", "en-2");
    await open();
    const asks = asked.map(({ request }) =>
      verifyAsk(
        { ask: request.ask, signature: request.askSignature },
        {
          clientSpki,
          clusterId: "cl-a",
          clientId: "ct-a",
          nowMs: clock.nowMs(),
        },
      ),
    );
    expect(asks.map(({ resource }) => resource)).toEqual(["web", "web"]);
    expect(Buffer.from(asks[0]?.nonce ?? []).equals(Buffer.from(asks[1]?.nonce ?? []))).toBe(false);
    expect(Number(asks[0]?.expiresAtMs) - clock.nowMs()).toBeLessThanOrEqual(limits.offerLifeMs);
  });

  it("whose trunk has no other way gives up a leg over a hop that froze after it agreed, and asks the next entry", async () => {
    const frozen = createServer();
    frozen.listen(0, "127.0.0.1");
    await once(frozen, "listening");
    const { open, who } = stageOf(["en-1", "en-2"], new Map([["en-1", (frozen.address() as AddressInfo).port]]));
    const taken = once(frozen, "connection");
    const opening = open({ purpose: "resume" });
    const [socket] = (await taken) as [Socket];
    // The hello of a handshake that nobody answers.
    await once(socket, "data");
    clock.advance(limits.clientWayMs);
    await eventually(() => who().length === 2, { what: "the next entry" });
    expect(await opening).toMatchObject({ detail: "NO_PATH" });
    expect(who()).toEqual(["en-1", "en-2"]);
    socket.destroy();
    frozen.close();
  });

  it("CP3 goes for a spare to an entry that no path uses, and to the others after it", async () => {
    const { open, who } = stage("en-1", "en-2", "en-3");
    await open({ purpose: "standby", beside: beside("en-1") });
    expect(who()).toEqual(["en-2", "en-3", "en-1"]);
  });

  it("CP3 does not improve on a spare over the entry it has already", async () => {
    const { open, who } = stage("en-1", "en-2");
    await open({ purpose: "standby", beside: beside("en-1"), sharedMax: 0 });
    expect(who()).toEqual(["en-2"]);
    expect(await stage("en-1").open({ purpose: "standby", beside: beside("en-1"), sharedMax: 0 })).toMatchObject({
      reason: "unavailable",
      detail: "NO_ENTRY",
    });
  });

  it("leaves an entry alone that drains or was revoked", async () => {
    const { open, who } = stage("en-1", "en-2");
    await open({ shun: ["en-1"] });
    expect(who()).toEqual(["en-2"]);
  });

  it("CP3 lets an entry that failed rest, but would rather ask it than nobody", async () => {
    const { open, who, down, refuse } = stage("en-1", "en-2");
    // The second one answers, if only to refuse.
    refuse("not_found", "UNKNOWN_RESOURCE");
    down.add("en-1");
    await open();
    expect(who()).toEqual(["en-2"]);
    down.clear();
    await open();
    expect(who()).toEqual(["en-2", "en-1"]);
    clock.advance(limits.entryRestMs);
    await open();
    expect(who()).toEqual(["en-1", "en-2"]);
  });

  it("tells the refusal that says most, whichever entry it came from", async () => {
    const { open, refuse, down } = stage("en-1", "en-2");
    refuse("not_found", "UNKNOWN_RESOURCE");
    down.add("en-2");
    expect(await open()).toMatchObject({ reason: "not_found", detail: "UNKNOWN_RESOURCE" });
  });

  it("stops when the caller does", async () => {
    const { open, who } = stage("en-1");
    await open({ signal: AbortSignal.abort() });
    expect(who()).toEqual([]);
  });
});
