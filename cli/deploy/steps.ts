/**
 * What has to be done for one host after the other, in order: a backup first, at the end a gate that must open before the next
 * host is touched, and for every step the way back. Nothing here is done; it is written down.
 */

import { isLoopbackHost } from "../../lib/config.ts";
import { hostPortText } from "../arguments.ts";
import type { Compared } from "./compare.ts";
import { type DeployNode, type Inventory, isRelease } from "./inventory.ts";

/** Where a step is done: by the operator, wherever the context is, or on the host as root. */
export interface Step {
  readonly what: string;
  readonly on: string;
  readonly commands: readonly string[];
  /** How to take it back, in commands or, where none does, in a comment; empty: there is nothing to take back. */
  readonly rollback: readonly string[];
}

export const operator = "operator";
const stateDir = "/var/lib/weft/node";
const configFile = "/etc/weft/node.json";
const tokenOnHost = "/etc/weft/join.token";
/** Where systemd puts the credential that deploy/systemd/weft-node.service loads. */
const handedToken = "/run/credentials/weft-node.service/join.token";

export const tokenFile = (node: DeployNode): string => `${node.name}.token`;
/** The command that makes the token of a node: of no use for any other name or role, and once. */
export const tokenCommand = (node: DeployNode): string =>
  `weft token create --roles ${node.roles.join(",")} --uses 1 --life 1h --name-prefix ${node.name} --out ${tokenFile(node)}`;

/** The configuration of a node's agent. It names the file of the token and holds no secret. */
export function configurationOf({ control }: Inventory, node: DeployNode): Readonly<Record<string, unknown>> {
  const { name, roles, listen, advertise, operator: at, dialOutOnly, region, targets } = node;
  return {
    stateDir,
    control: control.map((each) => hostPortText(each.public)),
    ...(listen === undefined ? { dialOutOnly } : { publicHost: listen.host, publicPort: listen.port }),
    ...(at === undefined
      ? { operatorPort: 7501 }
      : { operatorHost: at.host, operatorPort: at.port, allowRemoteOperators: !isLoopbackHost(at.host) }),
    metricsPort: 9465,
    ...(region === "" ? {} : { region }),
    ceiling: { roles, ...(targets.length === 0 ? {} : { targets }) },
    join: { tokenFile: handedToken, name, roles, addresses: advertise },
  };
}

/** A word for a shell. */
const word = (text: string): string => (/^[\w./@%+,:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** Where docs/deploy.md keeps backups: on the control's host, where operators' commands are given. */
const backupFile = (about: string): string => `/var/backups/weft/before-${about}.backup`;

const backup = (about: string): Step => ({
  what: "back up what control knows",
  on: operator,
  commands: [`weft db backup --file ${backupFile(about)}`],
  rollback: [],
});

function gate(file: string, { name }: DeployNode): Step {
  return {
    what: "health gate: go on only when this ends with 0, else roll back",
    on: operator,
    commands: [`weft deploy plan ${word(file)} --node ${name} --detailed-exitcode`],
    rollback: [],
  };
}

const approve: Pick<Step, "what" | "on" | "commands"> = {
  what: "approve the request, if its fingerprint is the one in the host's journal (journalctl -u weft-node)",
  on: operator,
  commands: ["weft request list --state pending", 'weft request approve REQUEST --fingerprint "FINGERPRINT"'],
};

function joinSteps(file: string, node: DeployNode): Step[] {
  const { name, host, pool } = node;
  return [
    {
      what: `make its token, in ${tokenFile(node)}; carry it to ${host}:${tokenOnHost} (root, 0600)`,
      on: operator,
      commands: [tokenCommand(node)],
      rollback: ["weft token list", "weft token revoke TOKEN", `rm ${tokenFile(node)}`],
    },
    {
      what: `write its configuration; carry it to ${host}:${configFile}`,
      on: operator,
      commands: [`weft deploy plan ${word(file)} --node ${name} --print-config`],
      rollback: [],
    },
    {
      what: "start its agent: it asks to join, and waits",
      on: host,
      commands: ["systemctl enable --now weft-node"],
      rollback: ["systemctl disable --now weft-node", `rm -f ${tokenOnHost}`, `mv ${stateDir} ${stateDir}.rolled-back`],
    },
    { ...approve, rollback: [`weft node revoke ${name} --reason "deployment rolled back" --wait`] },
    {
      what: "throw the token away: it is used up",
      on: host,
      commands: [`rm ${tokenOnHost}`],
      rollback: [],
    },
    ...(pool === undefined ? [] : [poolStep(name, pool, "# it leaves its pool when it is revoked: see its approval")]),
  ];
}

/** Nothing takes a node out of a pool but its end, so the way back is no command of its own. */
const poolStep = (name: string, pool: string, rollback: string): Step => ({
  what: `put it into its pool (weft pool create makes one that is missing)`,
  on: operator,
  commands: [`weft pool add ${pool} ${name}`],
  rollback: [rollback],
});

const poolChangeStep = (name: string, pool: string): Step =>
  poolStep(
    name,
    pool,
    `# no command takes a node out of a pool: only its end does (weft node revoke ${name}), and joining again`,
  );

/**
 * Everything off a node before it is touched, where its operator port can be reached from here. Elsewhere a stop has to do, which
 * drains for some seconds by itself.
 */
const drain = ({ name, operator: at }: DeployNode): Step[] =>
  at === undefined
    ? []
    : [
        {
          what: "move everything off it",
          on: operator,
          commands: [`weft node drain ${name}`],
          rollback: [`weft node undrain ${name}`],
        },
      ];

const undrain = ({ name, operator: at }: DeployNode): Step[] =>
  at === undefined
    ? []
    : [
        {
          what: "let it take part again",
          on: operator,
          commands: [`weft node undrain ${name}`],
          rollback: [`weft node drain ${name}`],
        },
      ];

/** Roles as a change: what is wanted first, so that the node is never without any. */
function roleSteps({ node: { name }, differences }: Compared): Step[] {
  const roles = differences.find(({ what }) => what === "roles");
  if (roles === undefined) return [];
  const now = new Set(roles.now.split(",").filter((role) => role !== ""));
  const wanted = new Set(roles.wanted.split(","));
  const assign = [...wanted].filter((role) => !now.has(role));
  const remove = [...now].filter((role) => !wanted.has(role));
  return [
    {
      what: "let its ceiling allow its new roles: carry the configuration over, and restart it",
      on: operator,
      commands: assign.length === 0 ? [] : [`weft node show ${name}`],
      rollback: [],
    },
    {
      what: "change its roles",
      on: operator,
      commands: [
        ...assign.map((role) => `weft role assign ${name} ${role}`),
        ...remove.map((role) => `weft role remove ${name} ${role}`),
      ],
      rollback: [
        ...remove.map((role) => `weft role assign ${name} ${role}`),
        ...assign.map((role) => `weft role remove ${name} ${role}`),
      ],
    },
  ].filter(({ commands }) => commands.length > 0);
}

/** A release as a node told it, for a command of root's: whatever has not the form of one is left for a person to fill in. */
const before = (told: string): string => (isRelease(told) ? told : "BEFORE");

/** Another release: its folder lies beside the one in use, and a link says which that is. */
function releaseStep(host: string, unit: string, now: string, wanted: string): Step {
  return {
    what: `run release ${wanted} (unpacked beside the one in use)`,
    on: host,
    commands: [`ln -sfn weft-${wanted} /opt/weft`, `systemctl restart ${unit}`],
    rollback: [`ln -sfn weft-${before(now)} /opt/weft`, `systemctl restart ${unit}`],
  };
}

function changeSteps(compared: Compared): Step[] {
  const { node, differences } = compared;
  const version = differences.find(({ what }) => what === "version");
  const pool = differences.find(({ what }) => what === "pool");
  return [
    ...drain(node),
    ...(version === undefined ? [] : [releaseStep(node.host, "weft-node", version.now, version.wanted)]),
    ...roleSteps(compared),
    ...(pool === undefined ? [] : [poolChangeStep(node.name, pool.wanted)]),
    ...undrain(node),
  ];
}

/** Addresses and region are part of what was approved: the node gets a new identity. */
function rejoinSteps(file: string, { node }: Compared): Step[] {
  const { name, host } = node;
  return [
    ...drain(node),
    {
      what: "stop it, and put its identity aside (it ends with the next step)",
      on: host,
      commands: ["systemctl stop weft-node", `mv ${stateDir} ${stateDir}.before`],
      rollback: [`mv ${stateDir}.before ${stateDir}`, "systemctl start weft-node"],
    },
    {
      what: "end its identity, for good",
      on: operator,
      commands: [`weft node revoke ${name} --reason "its address or region changes" --wait`],
      rollback: ["# join it again with the configuration it had: a revoked identity does not come back"],
    },
    ...joinSteps(file, node),
  ];
}

/** The steps of one node; none when nothing differs. */
export function stepsOf(file: string, compared: Compared): readonly Step[] {
  const { node, action } = compared;
  if (action === "keep") return [];
  const steps = {
    join: () => joinSteps(file, node),
    rejoin: () => rejoinSteps(file, compared),
    change: () => changeSteps(compared),
  }[action]();
  return [backup(node.name), ...steps, gate(file, node)];
}

/** The steps of the controls, when nodes are to run another release: control goes first. */
export function controlStepsOf({ control, version }: Inventory, all: readonly Compared[]): readonly Step[] {
  const old = all.flatMap(({ differences }) => differences.filter(({ what }) => what === "version"))[0]?.now;
  if (version === undefined || old === undefined) return [];
  const settings = "--config /etc/weft/control.json";
  return [
    backup(version),
    ...control.flatMap(({ host }): Step[] => [
      {
        what: "try its migrations on a copy",
        on: host,
        commands: [`/opt/weft-${version}/cli/weft.mjs db rehearse ${settings}`],
        rollback: [],
      },
      {
        ...releaseStep(host, "weft-control", old, version),
        rollback: [
          "systemctl stop weft-control",
          `ln -sfn weft-${before(old)} /opt/weft`,
          `weft db restore ${settings} --file ${backupFile(version)} --replace`,
          "systemctl start weft-control",
        ],
      },
      {
        what: "health gate: go on only when this ends with 0, else roll back",
        on: host,
        commands: ["weft doctor --control-config /etc/weft/control.json"],
        rollback: [],
      },
    ]),
  ];
}

/** One at a time: relays, which others can stand in for, before egresses, and those before entries, where people arrive. */
export function inOrder(all: readonly Compared[]): readonly Compared[] {
  const rank = ({ node: { roles } }: Compared): number =>
    roles.includes("entry") ? 2 : roles.includes("egress") ? 1 : 0;
  return all.toSorted((a, b) => rank(a) - rank(b));
}

/** The installation that the plan was made for, repeated in what an operator runs: another context may be the current one. */
export interface Meant {
  readonly context?: string | undefined;
  readonly cluster?: string | undefined;
}

/** A command of an operator for the installation that is meant. */
export function forMeant(command: string, { context, cluster }: Meant): string {
  if (!command.startsWith("weft ")) return command;
  const said = (flag: string, value: string | undefined): string =>
    value === undefined ? "" : ` ${flag} ${word(value)}`;
  return `${command}${said("--context", context)}${said("--cluster", cluster)}`;
}

/** Steps whose operator's commands are for the installation that is meant. */
export function stepsForMeant(steps: readonly Step[], meant: Meant): readonly Step[] {
  const say = (commands: readonly string[]): string[] => commands.map((command) => forMeant(command, meant));
  return steps.map((step) =>
    step.on === operator ? { ...step, commands: say(step.commands), rollback: say(step.rollback) } : step,
  );
}
