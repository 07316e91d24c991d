import { describe, expect, it } from "vitest";
import { rowTypes } from "../../../control/store/pg.ts";
import { type HostConnection, hostsOf, type StoreHost, StoreHosts } from "../../../control/store/pg-hosts.ts";
import { notPrimary, type Primary, PrimaryGuard } from "../../../control/store/primary.ts";
import { silentLog } from "../../../lib/log.ts";

const primary = (timeline: number, systemIdentifier = "7"): Primary => ({ systemIdentifier, timeline });

describe("LAW-C5 a process that has seen a primary", () => {
  it("goes on to a higher timeline, and never back", () => {
    const guard = new PrimaryGuard();
    guard.judge(primary(2));
    guard.judge(primary(2));
    guard.judge(primary(5));
    expect(() => guard.judge(primary(4))).toThrow(/timeline 4, and timeline 5 has been seen; nothing was changed/);
    expect(guard.newest()).toEqual(primary(5));
  });

  it("takes no other database system for it", () => {
    const guard = new PrimaryGuard();
    guard.judge(primary(2));
    expect(() => guard.judge(primary(9, "8"))).toThrow(expect.objectContaining({ detail: "STORE_NOT_PRIMARY" }));
    expect(guard.newest()).toEqual(primary(2));
  });
});

/** A server that is what it is told to be. */
class FakeHost implements StoreHost {
  readonly name: string;
  state: Primary | "standby" | "down";
  connects = 0;
  probes = 0;

  constructor(name: string, state: FakeHost["state"]) {
    this.name = name;
    this.state = state;
  }

  #whoIs(): Primary {
    if (this.state === "standby") throw notPrimary("the control store is not the primary");
    if (this.state === "down") throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    return this.state;
  }

  async connect(): Promise<HostConnection> {
    this.connects += 1;
    const at = this.#whoIs();
    return { primary: at, query: async () => ({ rows: [], command: "" }), takeWarnings: () => [], release: () => {} };
  }

  async probe(): Promise<Primary> {
    this.probes += 1;
    return this.#whoIs();
  }

  async close(): Promise<void> {}
}

describe("M-L6 several servers", () => {
  it("are asked once, and then the primary alone", async () => {
    const [a, b] = [new FakeHost("a", "standby"), new FakeHost("b", primary(1))];
    const hosts = new StoreHosts([a, b]);
    for (let count = 0; count < 3; count += 1) expect((await hosts.connect()).primary).toEqual(primary(1));
    expect([a.probes, b.probes, a.connects, b.connects]).toEqual([1, 1, 0, 3]);
  });

  it("are asked again when the one in use fails, and the highest timeline is the next", async () => {
    const [a, b, c] = [new FakeHost("a", primary(1)), new FakeHost("b", "standby"), new FakeHost("c", "standby")];
    const hosts = new StoreHosts([a, b, c]);
    await hosts.connect();
    a.state = "down";
    await expect(hosts.connect()).rejects.toMatchObject({ detail: "STORE_NOT_PRIMARY" });
    b.state = primary(2);
    expect((await hosts.connect()).primary).toEqual(primary(2));
    // Back, and still thinks it is the primary.
    a.state = primary(1);
    b.state = "down";
    await expect(hosts.connect()).rejects.toMatchObject({ detail: "STORE_NOT_PRIMARY" });
    c.state = primary(3);
    expect((await hosts.connect()).primary).toEqual(primary(3));
  });

  it("that were promoted unseen are found by looking", async () => {
    const [a, b] = [new FakeHost("a", primary(1)), new FakeHost("b", "standby")];
    const hosts = new StoreHosts([a, b]);
    await hosts.connect();
    b.state = primary(2);
    await hosts.look();
    expect((await hosts.connect()).primary).toEqual(primary(2));
    expect(hosts.currentName()).toBe("b");
  });

  it("are named in one connection string, and one is still one", () => {
    const names = (url: string): readonly string[] =>
      hostsOf(url, undefined, { types: rowTypes, connectionsMaxCount: 1, statementTimeoutMs: 1, log: silentLog }).map(
        ({ name }) => name,
      );
    expect(names("postgres://u:p@localhost:5,127.0.0.1/db")).toEqual(["localhost:5", "127.0.0.1:5432"]);
    expect(names("postgres://u:p%2C@localhost/db")).toEqual(["localhost:5432"]);
    expect(names("postgres://[::1]:5/db")).toEqual(["::1:5"]);
    expect(() => names("postgres://u:p@localhost,db.example/db")).toThrow(/TLS/);
    expect(names("postgres://a.example,b.example/db?sslmode=verify-full")).toHaveLength(2);
  });
});
