/** The `weft` command as its users meet it: the real process against a whole fabric, its words, its JSON, its exit codes. */

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { withLivingLeaf } from "../../../cli/operator-leaf.ts";
import { NodeService } from "../../../gen/weft/node/v1/node_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import { rpcClient } from "../../../rpc/client.ts";
import { loadOperatorContext, nodePortTls } from "../../../rpc/operator-context.ts";
import { operatorTransport } from "../../../rpc/operator-transport.ts";
import { eventually } from "../../harness/eventually.ts";
import { fabricWithinMs, type Ran, repository, run, sharedFabric, type TestFabric } from "../../harness/fabric.ts";

let world: TestFabric;

beforeAll(async () => {
  world = await sharedFabric();
}, fabricWithinMs);

/** Runs a command that must succeed; its standard output. */
async function ok(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.weft(...args);
  expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: "" });
  return stdout;
}

/** The one JSON object on the one line of standard output. */
function only(stdout: string): Record<string, never> {
  expect(stdout.endsWith("\n")).toBe(true);
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  return JSON.parse(stdout);
}

async function json<T>(...args: readonly string[]): Promise<T> {
  return only(await ok(...args, "--json")) as T;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly status: string;
}

/** A command that must fail with this code, and say it in JSON as well. */
async function refused(code: number, detail: string, ...args: readonly string[]): Promise<string> {
  const ran = await world.weft(...args, "--json");
  expect({ args, code: ran.code }).toEqual({ args, code });
  expect(only(ran.stdout)).toMatchObject({ ok: false, detail });
  return ran.stderr;
}

describe("tenants and what they reach", () => {
  it("are made, listed by name and taken away again", async () => {
    expect(await ok("organization", "create", "acme")).toContain("organization acme has id org-");
    await refused(1, "ORGANIZATION_EXISTS", "organization", "create", "acme");
    expect(await ok("organization", "list")).toMatch(/^org-\S+\s+acme/m);
    await ok("pool", "create", "office", "--organization", "acme");
    await ok("pool", "add", "office", "egress-1");
    expect(await ok("pool", "list")).toMatch(/^pl-\S+\s+office\s+acme\s+egress-1$/m);
    await ok("resource", "add", "db", "--pool", "office", "--target", "127.0.0.1:5432", "--service", "database");
    expect(await ok("resource", "list")).toMatch(/^rs-\S+\s+db\s+tcp\s+interactive\s+127.0.0.1:5432\s+office\s+-$/m);
    await ok("listener", "add", "db-local", "--resource", "db", "--entry", "entry-1");
    await refused(
      2,
      "commander.invalidArgument",
      "listener",
      "add",
      "x",
      "--resource",
      "db",
      "--entry",
      "e",
      "--port",
      "x",
    );
    await eventually(async () => /db-local\s+entry-1\s+db\s+127.0.0.1:[1-9]/.test(await ok("listener", "list")), {
      withinMs: 15_000,
      everyMs: 500,
    });
    await ok("listener", "remove", "db-local");
    // Of several each is tried, and what was done is told apart from what was not.
    await ok("resource", "add", "db-2", "--pool", "office", "--target", "127.0.0.1:5433");
    const removed = await world.weft("resource", "remove", "db", "bd-2", "db-2", "--json");
    expect([removed.code, only(removed.stdout)]).toMatchObject([
      1,
      {
        ...{ ok: false, done: 2, failed: 1 },
        results: [
          { item: "db", ok: true },
          { item: "bd-2", ok: false, detail: "CLI_NOT_FOUND" },
          { item: "db-2", ok: true },
        ],
      },
    ]);
    expect(removed.stderr).toContain("2 of 3 done; not done: bd-2");
    expect(await refused(1, "CLI_NOT_FOUND", "resource", "remove", "wbe")).toContain('did you mean "web"');
  }, 60_000);

  it("routes to them are explained by name, and changes are in the audit log", async () => {
    expect(await ok("route", "explain", "web", "--from", "entry-1")).toMatch(
      /^from entry-1 a new trunk would take entry-1 -> relay-\d -> egress-\d\n[\s\S]*^primary\s+entry-1 -> relay-\d/m,
    );
    const { records } = await json<{ records: { action: string; seq: number }[] }>("audit", "list", "--limit", "500");
    expect(records.map(({ action }) => action)).toContain("organization.created");
    expect(await ok("audit", "list", "--limit", "1")).toMatch(/operator\/op-\S+|system|node\/nd-/);
  });

  it("the audit log is exported, checked against the nodes that witnessed it, and a cut one is named", async () => {
    const file = join(world.scratch, "audit.jsonl");
    const made = await json<{ records: number; to: number }>("audit", "export", file);
    expect(made).toMatchObject({ ok: true, from: 1, to: made.records });
    await refused(1, "AUDIT_FILE_EXISTS", "audit", "export", file);
    // Nodes keep what their snapshots carried, in their own folders.
    const witness = world.fabric.root;
    const whole = await json<{ witnessesChecked: number }>("audit", "verify", file, "--witness", witness);
    expect(whole).toMatchObject({ ok: true, count: made.records });
    expect(whole.witnessesChecked).toBeGreaterThan(0);
    expect(await json("audit", "verify")).toMatchObject({ ok: true });

    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    const altered = join(world.scratch, "altered.jsonl");
    writeFileSync(altered, lines.with(3, (lines[3] ?? "").replace('"result":"ok"', '"result":"no"')).join("\n"));
    const bad = await world.weft("audit", "verify", altered, "--json");
    expect({ code: bad.code, report: only(bad.stdout) }).toMatchObject({
      ...{ code: 1, report: { ok: false, fault: { code: "AUDIT_ALTERED", seq: 3 } } },
    });
    const trailer = JSON.parse(lines.at(-1) ?? "");
    const last = JSON.parse(lines[2] ?? "");
    const end = { seq: 2, hash: last.hash };
    const cut = join(world.scratch, "cut.jsonl");
    const shorter = { ...trailer, count: 2, last: end, head: end, witnesses: [] };
    writeFileSync(cut, [...lines.slice(0, 3), JSON.stringify(shorter)].join("\n"));
    expect(await json("audit", "verify", cut)).toMatchObject({ ok: true, count: 2 });
    const found = await world.weft("audit", "verify", cut, "--witness", witness);
    expect(found).toMatchObject({ code: 1, stderr: expect.stringMatching(/AUDIT_CUT[\s\S]*node\/nd-/) });
  });
});

describe("nodes", () => {
  it("are shown with what they say themselves", async () => {
    const shown = await ok("node", "show", "egress-2");
    expect(shown).toMatch(/^addresses\s+dial-out only$/m);
    expect(shown).toMatch(/^link relay-1\s+up/m);
    const { nodes } = await json<{ nodes: Row[] }>("node", "list");
    expect(nodes.map(({ name }) => name)).toEqual(expect.arrayContaining(["entry-1", "relay-3", "egress-2"]));
  });

  it("are told how they are, hang in groups for people, and have alerts", async () => {
    await ok("group", "create", "berlin");
    await ok("group", "create", "rack-1", "--under", "berlin");
    expect(await ok("group", "assign", "relay-1", "rack-1")).toBe("relay-1 is in group rack-1\n");
    expect(await ok("group", "list")).toMatch(/^berlin\s+gr-\S+.*\n {2}rack-1\s+gr-\S+\s+relay-1\s/m);
    await refused(1, "GROUP_CYCLE", "group", "move", "berlin", "--under", "rack-1");
    expect(await refused(1, "CLI_NOT_FOUND", "group", "assign", "relay-1", "rack-2")).toContain('"rack-1"');
    expect(await ok("group", "move", "rack-1")).toBe("group rack-1 is a root\n");
    expect(await ok("node", "list", "--health")).toMatch(
      /^relay-1\s+online\s+\S+ s\s+\S+\s+\S+ ms\s+(-|\S+ ppm)\s+no\s+rack-1\s+kept/m,
    );
    await ok("group", "assign", "relay-1");
    await ok("group", "remove", "rack-1");
    const { alerts } = await json<{ alerts: object[]; truncated: boolean }>("alert", "list", "--all");
    expect(alerts).toBeInstanceOf(Array);
    expect(await ok("cluster", "show")).toMatch(/^role relay\s+\d of \d able$/m);
  }, 60_000);

  it("lose and get roles and their place in the cluster", async () => {
    await ok("role", "remove", "relay-3", "relay");
    expect(await ok("role", "list", "relay-3")).toBe("(none)\n");
    await ok("role", "assign", "relay-3", "relay");
    expect(await ok("role", "list", "relay-3")).toMatch(/^relay-3\s+relay\s+every/m);
    expect(await refused(2, "CLI_ENUM", "role", "assign", "relay-3", "king")).toContain("entry, relay, egress");
    expect(await ok("membership", "disable", "relay-3")).toBe("membership of relay-3 is disabled\n");
    expect(await ok("membership", "list")).toMatch(/^relay-3\s+\S+\s+disabled/m);
    await ok("membership", "enable", "relay-3");
    // Of a node that cannot say that it applied it, the command names who it is; its exit code says that it is not proved.
    const frozen = world.fabric.process("relay-2").pid;
    process.kill(frozen, "SIGSTOP");
    const revoke = ["node", "revoke", "relay-3", "--reason", "gone", "--wait", "--json"];
    const late = await world.weft(...revoke, "--timeout", "1500ms").finally(() => process.kill(frozen, "SIGCONT"));
    const told = only(late.stdout) as unknown as { wait: { nodes: number; applied: number; stragglers: object[] } };
    expect(late.code).toBe(69);
    expect(told.wait.applied + told.wait.stragglers.length).toBe(told.wait.nodes);
    const straggler = { name: "relay-2", beatAgeMs: expect.any(Number), holds: expect.stringMatching(/^\d+\.\d+$/) };
    expect(told.wait.stragglers).toContainEqual(expect.objectContaining(straggler));
    // Asked again, the same revocation is waited for, and proved by everybody there is.
    const { wait } = await json<typeof told>("node", "revoke", "relay-3", "--wait");
    expect(wait).toMatchObject({ applied: told.wait.nodes, stragglers: [] });
    expect(await ok("node", "list")).toMatch(/^relay-3\s+\S+\s+revoked/m);
  }, 60_000);

  it("have certificates, which are shown with what they are worth, and end one by one", async () => {
    type Listed = { certificates: { serial: string; kind: string; acceptedBy: string[] }[] };
    const { certificates } = await json<Listed>("cert", "list", "--status", "all");
    const kinds = certificates.map(({ kind }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(["node", "pool", "control", "operator"]));
    const serial = certificates.find(({ kind }) => kind === "pool")?.serial ?? "";
    expect(await ok("cert", "show", serial)).toMatch(/of\s+pool\/\S+ at egress-\d[\s\S]*believed by\s+clients/);
    const ended = await world.weft("cert", "revoke", serial, "--reason", "copied", "--wait");
    expect(ended.stdout).toMatch(/is revoked; [\s\S]*all \d+ nodes have signed that they applied it/);
    const control = certificates.find(({ kind }) => kind === "control")?.serial ?? "";
    await refused(1, "CERTIFICATE_CONTROL", "cert", "revoke", control);
  }, 60_000);
});

describe("identities", () => {
  it("LAW-I1 LAW-I4 THR-C3 are made with keys that stay in their folder, and work until they are revoked", async () => {
    const dir = join(world.scratch, "alice");
    await ok("identity", "add", "operator", "alice", "--out", dir);
    expect(statSync(join(dir, "operator.key")).mode & 0o777).toBe(0o600);
    await ok("--context", dir, "cluster", "list");
    await refused(1, "CLI_FILE_EXISTS", "identity", "add", "operator", "alice2", "--out", dir);
    await refused(2, "CLI_ORGANIZATION_MISSING", "identity", "add", "client", "laptop", "--out", dir);
    const { identities } = await json<{ identities: Row[] }>("identity", "list");
    expect(identities.map(({ name }) => name)).toEqual(expect.arrayContaining(["admin", "alice"]));
    // With a stream open at control and at a node, as `weft top` and `weft route watch` keep them.
    const context = loadOperatorContext(dir);
    const { facts } = world.fabric.process("relay-1");
    const [clusterId, nodeId] = [context.clusters[0]?.id ?? "", String(facts.nodeId)];
    const tls = nodePortTls(context, clusterId, nodeId, () => Date.now());
    const transport = operatorTransport({ address: String(facts.operator), tls });
    const node = rpcClient(NodeService, transport);
    await node.getStatus({});
    const events = node.watchEvents({}, { timeoutMs: 0 })[Symbol.asyncIterator]();
    const over = (async () => {
      while ((await events.next()).done !== true);
    })().catch((thrown: unknown) => thrown);
    expect(await json("identity", "revoke", "alice", "--wait")).toMatchObject({ wait: { stragglers: [] } });
    // Whoever signed that it applied it has ended the stream, and lets nobody in any more.
    expect(await over).toMatchObject({
      reason: expect.stringMatching(/^(unauthenticated|permission_denied|canceled|unavailable)$/),
    });
    await expect(node.getStatus({})).rejects.toThrow();
    transport.close();
    expect((await world.weft("--context", dir, "cluster", "list")).code).not.toBe(0);
    await refused(1, "LAST_OPERATOR", "identity", "revoke", "admin");
  });

  it("a failed addition leaves no key behind", async () => {
    const dir = join(world.scratch, "nobody");
    await refused(1, "CLI_NOT_FOUND", "identity", "add", "client", "x", "--organization", "none", "--out", dir);
    expect(existsSync(dir) ? readdirSync(dir) : []).toEqual([]);
  });

  it("an operator's certificate is renewed once half its life is over, by one of two that try", async () => {
    const { contextDir } = world.fabric;
    const before = loadOperatorContext(contextDir);
    const lifeMs = before.leaf.notAfterMs - before.leaf.notBeforeMs;
    const now = vi.spyOn(systemClock, "nowMs").mockImplementation(() => Date.now() + lifeMs * 0.6);
    try {
      await Promise.all([withLivingLeaf(before), withLivingLeaf(before)]);
      const after = loadOperatorContext(contextDir);
      expect(after.leaf.serialHex).not.toBe(before.leaf.serialHex);
      expect(after.leaf.keyHash).toBe(before.leaf.keyHash);
      now.mockImplementation(() => Date.now() + lifeMs * 1.1);
      await expect(withLivingLeaf(before)).rejects.toMatchObject({ detail: "OPERATOR_EXPIRED" });
    } finally {
      now.mockRestore();
    }
    await ok("cluster", "list");
    expect(readdirSync(contextDir)).not.toContain("writing.lock");
  });
});

describe("a second cluster", () => {
  async function join2(tokenFile: string, state: string): Promise<{ done: Promise<Ran>; requestId: string }> {
    const { publicAddress } = loadOperatorContext(world.fabric.contextDir);
    const args = ["join", "--control", publicAddress, "--token-file", tokenFile, "--state", state];
    const wish = ["--name", "relay-1", "--roles", "relay", "--address", "127.0.0.1:17444", "--json"];
    const done = run(process.execPath, [join(repository, "cli/bin.ts"), ...args, ...wish], { withinMs: 40_000 });
    let requestId = "";
    await eventually(
      async () => {
        const { requests } = await json<{ requests: Row[] }>(
          "--cluster",
          "lab",
          "request",
          "list",
          "--state",
          "pending",
        );
        requestId = requests[0]?.id ?? "";
        return requestId !== "";
      },
      { withinMs: 20_000, everyMs: 300 },
    );
    return { done, requestId };
  }

  it("takes the host of a node of the first under an identity of its own", async () => {
    await ok("cluster", "create", "lab");
    expect(await ok("cluster", "list", "--refresh")).toMatch(/^cl-\S+\s+lab\s+lab\s+active\s+\S+\s+known$/m);
    expect(await ok("cluster", "show", "lab")).toMatch(/^slug\s+lab$/m);
    const token = join(world.scratch, "lab.token");
    expect(await ok("--cluster", "lab", "token", "create", "--roles", "relay", "--out", token)).not.toContain("weft1.");
    expect(statSync(token).mode & 0o777).toBe(0o600);
    const { done, requestId } = await join2(token, join(world.scratch, "lab-state"));
    expect(await ok("--cluster", "lab", "request", "show", requestId)).toMatch(/^state\s+pending$/m);
    await refused(1, "FINGERPRINT_DIFFERS", "--cluster", "lab", "request", "approve", requestId, "--fingerprint", "00");
    await refused(1, "REQUEST_NOT_FOUND", "request", "show", requestId);
    await ok("--cluster", "lab", "request", "approve", requestId);
    const { code, stdout, stderr } = await done;
    expect(code).toBe(0);
    expect(only(stdout)).toMatchObject({ name: "relay-1", cluster: "lab" });
    expect(stderr).toContain(`weft --cluster lab request approve ${requestId} --fingerprint`);
    expect(await ok("--cluster", "lab", "node", "show", "relay-1")).toMatch(/^roles\s+relay$/m);
  }, 60_000);

  it("refuses hosts and takes tokens back", async () => {
    const token = join(world.scratch, "no.token");
    await ok("--cluster", "lab", "token", "create", "--out", token);
    const { done, requestId } = await join2(token, join(world.scratch, "no-state"));
    await ok("--cluster", "lab", "request", "reject", requestId, "--reason", "unknown host");
    expect((await done).code).not.toBe(0);
    const { token: made } = await json<{ token: Row }>("token", "create", "--life", "1m");
    await ok("token", "revoke", made.id);
    expect(await ok("token", "list")).toMatch(new RegExp(`^${made.id}\\s+any\\s+operator\\s+0/1\\s+\\S+\\s+20`, "m"));
    await refused(1, "CLI_NOT_FOUND", "--cluster", "lba", "node", "list");
  }, 60_000);
});

describe("the operator's context", () => {
  it("is shown without its key", async () => {
    const shown = await json<Record<string, unknown>>("config", "show");
    const key = readFileSync(join(world.fabric.contextDir, "operator.key"), "utf8").split("\n")[1] ?? "";
    expect(JSON.stringify(shown)).not.toContain(key);
    expect(await ok("config", "show")).toMatch(/^clusters\s+default, lab$/m);
  });
});
