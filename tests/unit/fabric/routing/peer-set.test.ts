import { describe, expect, it } from "vitest";
import {
  choosePeers,
  coldOrder,
  linkBudget,
  type Peer,
  type PeerRole,
  type PeerSelf,
  type PeerSets,
  peerBounds,
} from "../../../../fabric/routing/peer-set.ts";
import { randomInt, seededRandom } from "../../../../lib/random.ts";
import { shuffled } from "./stage.ts";

const peer = (nodeId: string, role: PeerRole = "core", more: Partial<Peer> = {}): Peer => ({
  nodeId,
  role,
  region: "",
  usable: true,
  ...more,
});
const cores = (count: number): Peer[] => Array.from({ length: count }, (_, i) => peer(`re-${i}`));
const self = (role: PeerRole, nodeId = "me"): PeerSelf => ({ nodeId, role, region: "" });
const killed = (peers: readonly Peer[], ids: readonly string[]): Peer[] =>
  peers.map((one) => (ids.includes(one.nodeId) ? { ...one, usable: false } : one));

describe("A11 a node's peer sets", () => {
  it.each([
    ["edge", 3, 5],
    ["core", 8, 20],
    ["client", 1, 3],
  ] as const)("an %s keeps %i to %i links", (role, min, max) => {
    const { active } = choosePeers(self(role), cores(100));
    expect(active.length).toBeGreaterThanOrEqual(min);
    expect(active.length).toBeLessThanOrEqual(max);
    expect(choosePeers(self(role), cores(max)).active).toHaveLength(max);
  });

  it("everybody where everybody is few, whether they answer or not", () => {
    const few = [peer("re-1"), peer("re-2", "core", { usable: false }), peer("eg-1", "edge")];
    expect([...choosePeers(self("core"), few).active].sort()).toEqual(["eg-1", "re-1", "re-2"]);
  });

  it("are the same for the same inputs, in whatever order, and other nodes choose others", () => {
    const random = seededRandom(3);
    const first = choosePeers(self("edge"), cores(50));
    for (let i = 0; i < 20; i++) expect(choosePeers(self("edge"), shuffled(cores(50), random))).toEqual(first);
    const chosen = new Set(
      Array.from({ length: 100 }, (_, i) => choosePeers(self("edge", `en-${i}`), cores(50)).active).flat(),
    );
    expect(chosen.size).toBeGreaterThan(45);
  });

  it("recover from each tier: active from warm, warm from cold, and cold is where one starts over", () => {
    const all = cores(60);
    const start = choosePeers(self("edge"), all);
    const later = choosePeers(self("edge"), killed(all, start.active), [], start);
    expect(later.active).toEqual(start.warm.slice(0, start.active.length));
    expect(later.warm.every((id) => start.cold.includes(id))).toBe(true);
    const dead = [...start.active, ...start.warm];
    const fromCold = choosePeers(self("edge"), killed(all, dead), [], start);
    expect(fromCold.active).toEqual(start.cold.slice(0, fromCold.active.length));
    expect(fromCold.active).toHaveLength(peerBounds.edge.wanted);
    const left = fromCold.cold.filter((id) => !dead.includes(id)).at(-1) ?? "";
    const one = choosePeers(
      self("edge"),
      killed(
        all,
        all.map(({ nodeId }) => nodeId).filter((id) => id !== left),
      ),
      [],
      fromCold,
    );
    expect(one.active).toEqual([left]);
    expect(
      choosePeers(
        self("edge"),
        killed(
          all,
          all.map(({ nodeId }) => nodeId),
        ),
        [],
        one,
      ).active,
    ).toEqual([]);
  });

  it("do not flap: what comes back takes nobody's place, and noise about others changes nothing", () => {
    const all = cores(40);
    const start = choosePeers(self("edge"), all);
    const lost = start.active.slice(0, 1);
    const without = choosePeers(self("edge"), killed(all, lost), [], start);
    const back = choosePeers(self("edge"), all, [], without);
    expect(back.active).toEqual(without.active);
    const random = seededRandom(9);
    let now = back;
    for (let i = 0; i < 200; i++) {
      const noisy = [...now.warm, ...now.cold].filter(() => random.float() < 0.3);
      const next = choosePeers(self("edge"), killed(all, noisy), [], now);
      expect(next.active).toEqual(now.active);
      now = next;
    }
  });

  it("growing past the size where everybody is linked drops nobody", () => {
    const small = choosePeers(self("edge"), cores(5));
    expect([...choosePeers(self("edge"), cores(6), [], small).active].sort()).toEqual([...small.active].sort());
  });

  it("have one in three from another region", () => {
    const all = [
      ...cores(20).map((one) => ({ ...one, region: "eu" })),
      ...Array.from({ length: 20 }, (_, i) => peer(`us-${i}`, "core", { region: "us" })),
    ];
    const { active } = choosePeers({ nodeId: "me", role: "edge", region: "eu" }, all);
    expect(active.filter((id) => id.startsWith("us")).length).toBe(1);
  });

  it("a relay's budget grows only where there are too few relays for the edges", () => {
    const edges = (count: number): Peer[] => Array.from({ length: count }, (_, i) => peer(`en-${i}`, "edge"));
    expect(linkBudget(self("core"), [...cores(399), ...edges(600)])).toBe(20);
    expect(linkBudget(self("core"), [...cores(2), ...edges(50)])).toBe(52);
  });
});

/** Nodes that look at their peers in turn, as real ones do: they see who links to them and who had no room. */
class Fabric {
  readonly sets = new Map<string, PeerSets>();
  readonly #roles = new Map<string, PeerRole>();
  readonly #refused = new Map<string, Set<string>>();
  readonly #guestsOf = new Map<string, Set<string>>();
  readonly #orders = new Map<string, readonly string[]>();
  readonly dead = new Set<string>();

  constructor(relays: number, edges: number) {
    for (let i = 0; i < relays; i++) this.#roles.set(`re-${i}`, "core");
    for (let i = 0; i < edges; i++) this.#roles.set(`ed-${i}`, "edge");
  }

  ids(): string[] {
    return [...this.#roles.keys()].filter((id) => !this.dead.has(id));
  }

  role(id: string): PeerRole {
    return this.#roles.get(id) ?? "edge";
  }

  /** One look of one node; returns whether its active set changed. */
  look(id: string): boolean {
    const before = this.sets.get(id);
    const refused = this.#refused.get(id) ?? new Set();
    const role = this.role(id);
    // Edges see relays; relays see everybody.
    const peers = [...this.#roles.keys()]
      .filter((other) => other !== id && (role === "core" || this.role(other) === "core"))
      .map((other) => peer(other, this.role(other), { usable: !this.dead.has(other) && !refused.has(other) }));
    const guests = this.#guests(id);
    const order = this.#orders.get(id) ?? coldOrder(self(role, id), peers);
    this.#orders.set(id, order);
    const next = choosePeers(self(role, id), peers, guests, before, order);
    this.sets.set(id, next);
    this.#show(id, before?.active ?? [], next.active);
    for (const guest of guests) if (!next.active.includes(guest)) this.#refuse(guest, id);
    return before === undefined || before.active.join() !== next.active.join();
  }

  #guests(id: string): string[] {
    return [...(this.#guestsOf.get(id) ?? [])].filter((other) => !this.dead.has(other));
  }

  #show(id: string, before: readonly string[], now: readonly string[]): void {
    for (const other of before) this.#guestsOf.get(other)?.delete(id);
    for (const other of now) {
      const guests = this.#guestsOf.get(other) ?? new Set();
      this.#guestsOf.set(other, guests.add(id));
    }
  }

  #refuse(guest: string, by: string): void {
    const list = this.#refused.get(guest) ?? new Set();
    list.add(by);
    this.#refused.set(guest, list);
  }

  /** Everybody looks until nobody changes anything; the number of rounds. */
  settle(order: (ids: string[]) => string[]): number {
    for (let round = 1; round <= 30; round++) {
      let changed = 0;
      for (const id of order(this.ids())) if (this.look(id)) changed += 1;
      if (changed === 0) return round;
    }
    throw new Error("the sets never settle");
  }

  /** Links that stand: each end wants the other. */
  links(id: string): string[] {
    return (this.sets.get(id)?.active ?? []).filter((other) => this.sets.get(other)?.active.includes(id) === true);
  }

  /** Nodes that can be reached from one of them over relays. */
  reached(): number {
    const [first = ""] = this.ids();
    const seen = new Set([first]);
    for (const id of seen) for (const other of this.links(id)) seen.add(other);
    return seen.size;
  }
}

describe("LAW never a link to everyone", () => {
  it.each([1, 2])("1 000 nodes, seed %i: nobody holds more than 20 links, nobody is alone, and it settles", (seed) => {
    const random = seededRandom(seed);
    const relays = 350 + randomInt(random, 101);
    const fabric = new Fabric(relays, 1_000 - relays);
    const rounds = fabric.settle((ids) => shuffled(ids, random));
    const counts = fabric.ids().map((id) => fabric.links(id).length);
    console.info(
      `seed ${seed}: ${relays} relays, settled after ${rounds} rounds, at most ${Math.max(...counts)} links`,
    );
    expect(Math.max(...counts)).toBeLessThanOrEqual(20);
    for (const id of fabric.ids()) {
      expect(fabric.links(id).length, id).toBeGreaterThanOrEqual(fabric.role(id) === "edge" ? 3 : 1);
      expect(fabric.sets.get(id)?.active.length).toBeLessThanOrEqual(20);
    }
    expect(fabric.reached()).toBe(1_000);
    for (const id of fabric.ids().filter(() => random.float() < 0.1))
      if (fabric.role(id) === "core") fabric.dead.add(id);
    fabric.settle((ids) => shuffled(ids, random));
    expect(Math.max(...fabric.ids().map((id) => fabric.links(id).length))).toBeLessThanOrEqual(20);
    expect(fabric.reached()).toBe(fabric.ids().length);
  });
});
