/**
 * Every group of commands, by its name, in the order of the help. What the help of `weft` says of a group is here, what the group is
 * made of in its file, which is loaded when somebody names it: a command does not wait for what the others need.
 *
 * A test compares both.
 */

import type { Command } from "commander";

export interface CommandGroup {
  /** Its description. */
  readonly about: string;
  /** The words it takes when it is a command by itself. */
  readonly words?: string;
  /** What adds it to a program; `whole` makes a program with every group in it. */
  load(whole: () => Promise<Command>): Promise<(program: Command) => void>;
}

export const commandGroups: Readonly<Record<string, CommandGroup>> = {
  up: {
    about: "bring up a whole fabric on this machine: control, entries, relays, egresses, demo targets",
    load: async () => (await import("./commands/up.ts")).addUpCommand,
  },
  control: {
    about: "the control plane process",
    load: async () => (await import("./commands/control.ts")).addControlCommands,
  },
  node: {
    about: "nodes",
    load: async () => (await import("./commands/node.ts")).addNodeCommands,
  },
  group: {
    about: "groups of nodes: a tree for people, which grants nothing",
    load: async () => (await import("./commands/group.ts")).addGroupCommands,
  },
  alert: {
    about: "what to look at: silent nodes, wrong clocks, roles nobody covers",
    load: async () => (await import("./commands/alert.ts")).addAlertCommands,
  },
  membership: {
    about: "memberships of nodes in a cluster",
    load: async () => (await import("./commands/membership.ts")).addMembershipCommands,
  },
  token: {
    about: "join tokens",
    load: async () => (await import("./commands/token.ts")).addTokenCommands,
  },
  join: {
    about: "make this host a node: sends a request under a join token and waits for approval",
    load: async () => (await import("./commands/join.ts")).addJoinCommand,
  },
  request: {
    about: "join requests",
    load: async () => (await import("./commands/request.ts")).addRequestCommands,
  },
  role: {
    about: "roles of nodes",
    load: async () => (await import("./commands/role.ts")).addRoleCommands,
  },
  policy: {
    about: "what holds for the cluster, organizations and resources",
    load: async () => (await import("./commands/policy.ts")).addPolicyCommands,
  },
  pool: {
    about: "egress pools",
    load: async () => (await import("./commands/pool.ts")).addPoolCommands,
  },
  resource: {
    about: "resources: what clients ask for by name",
    load: async () => (await import("./commands/resource.ts")).addResourceCommands,
  },
  lease: {
    about: "leases: exclusive rights to act, and their fences",
    load: async () => (await import("./commands/lease.ts")).addLeaseCommands,
  },
  "service-lease": {
    about: "leases of service channels: who may open channels to a resource, through which entry, until when",
    load: async () => (await import("./commands/service-lease.ts")).addServiceLeaseCommands,
  },
  listener: {
    about: "plain TCP listeners at entries",
    load: async () => (await import("./commands/listener.ts")).addListenerCommands,
  },
  workload: {
    about: "what nodes run beside their roles: desired and reported state, logs",
    load: async () => (await import("./commands/workload.ts")).addWorkloadCommands,
  },
  connect: {
    about: "connect standard input and output to a resource; survives the loss of entries and relays",
    words: "<resource>",
    load: async () => (await import("./commands/connect.ts")).addConnectCommand,
  },
  forward: {
    about: "local TCP ports that lead to resources; loopback unless a host is given; until Ctrl-C",
    words: "<local:resource...>",
    load: async () => (await import("./commands/forward.ts")).addForwardCommand,
  },
  check: {
    about: "whether bytes come back, and go on coming back while parts of the fabric die; 1 when any is lost",
    load: async () => (await import("./commands/check.ts")).addCheckCommands,
  },
  identity: {
    about: "client and operator identities",
    load: async () => (await import("./commands/identity.ts")).addIdentityCommands,
  },
  cert: {
    about: "certificates: who holds which, until when, and the end of one",
    load: async () => (await import("./commands/cert.ts")).addCertCommands,
  },
  organization: {
    about: "tenants of a cluster",
    load: async () => (await import("./commands/organization.ts")).addOrganizationCommands,
  },
  cluster: {
    about: "control and trust domains",
    load: async () => (await import("./commands/cluster.ts")).addClusterCommands,
  },
  ca: {
    about: "authorities and signing keys, and their rotation",
    load: async () => (await import("./commands/ca.ts")).addCaCommands,
  },
  route: {
    about: "paths through the fabric",
    load: async () => (await import("./commands/route.ts")).addRouteCommands,
  },
  probe: {
    about: "echo over the direct, the single-relay and the forced-fallback route: path, round trips, jitter, loss",
    load: async () => (await import("./commands/probe.ts")).addProbeCommand,
  },
  telemetry: {
    about: "where synthetic measurements (weft probe) may be made; on unless switched off",
    load: async () => (await import("./commands/telemetry.ts")).addTelemetryCommands,
  },
  intent: {
    about: "route intents: what operators want of routes",
    load: async () => (await import("./commands/intent.ts")).addIntentCommands,
  },
  qos: {
    about: "what classes of traffic may use: priority, rate and burst; the most specific policy counts",
    load: async () => (await import("./commands/qos.ts")).addQosCommands,
  },
  snapshot: {
    about: "a node's signed configuration in a file: no control and no node is asked",
    load: async () => (await import("./commands/snapshot.ts")).addSnapshotCommands,
  },
  top: {
    about: "every node's links, trunks, channels, rates, round trips, loss and replay depth, again and again",
    load: async () => (await import("./commands/top.ts")).addTopCommand,
  },
  audit: {
    about: "the audit log: who changed what, kept and checked",
    load: async () => (await import("./commands/audit.ts")).addAuditCommands,
  },
  db: {
    about: "the store of control: its state, backup and restore, rehearsal of an upgrade, the move to PostgreSQL",
    load: async () => (await import("./commands/db.ts")).addDbCommands,
  },
  context: {
    about: "named contexts: which installation, and as whom",
    load: async () => (await import("./commands/context.ts")).addContextCommands,
  },
  config: {
    about: "the operator context and configuration files",
    load: async () => (await import("./commands/config.ts")).addConfigCommands,
  },
  deploy: {
    about: "what a deployment would take",
    load: async () => (await import("./commands/deploy.ts")).addDeployCommands,
  },
  doctor: {
    about: "common mistakes on this host, each with its fix; ends with 1 when there is one",
    load: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  },
  completion: {
    about: "print what a shell needs to complete commands and flags",
    words: "<shell>",
    load: async (whole) => (await import("./commands/completion.ts")).completionCommand(whole),
  },
  attack: {
    about: "try classes of HTTP/2, TLS and first-bytes abuse on a port of one's own, within bounds, and judge",
    load: async () => (await import("./commands/attack.ts")).addAttackCommand,
  },
  conformance: {
    about: "try what this version promises on this machine: stores, leases, trust, live connections",
    load: async () => (await import("./commands/conformance.ts")).addConformanceCommand,
  },
};
