/**
 * The inventory of a deployment: which hosts there are and what runs on each, as people wrote it down (YAML or JSON). All that is
 * wrong with it is said at once, and a place that somebody still has to fill in is wrong wherever it stands.
 */

import { parseDocument } from "yaml";
import { z } from "zod";
import { ConfigError } from "../../lib/config-error.ts";
import { type HostPort, hostPort, hostPortText } from "../arguments.ts";

/** What a node may be; more of them on one node is allowed. */
export const deployRoles = ["relay", "egress", "entry"] as const;

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "write a name of lower-case letters, digits and dashes");
const host = z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/, "write a host name or an IP address");

const address = z.string().transform((text, context): HostPort => {
  try {
    return hostPort(text);
  } catch {
    context.addIssue({ code: "custom", message: `write host:port, not "${text}"` });
    return z.NEVER;
  }
});

const port = z.number().int().min(1).max(65_535);

const controlSchema = z.strictObject({
  name,
  /** The host it runs on, as people reach it. */
  host,
  /** Where nodes reach it. */
  public: address,
  /** Where operators do. */
  operator: address.prefault("127.0.0.1:7401"),
});

const nodeSchema = z.strictObject({
  name,
  host,
  roles: z.array(z.enum(deployRoles)).min(1, "name at least one role"),
  /** What its public port binds. */
  listen: address.optional(),
  /** Where other nodes dial it. */
  advertise: z.array(address).default([]),
  /** Its operator port, where operators can reach it from their own host; on its loopback when absent. */
  operator: address.optional(),
  /** No inbound port. */
  dialOutOnly: z.boolean().default(false),
  /** The egress pool it belongs to. */
  pool: name.optional(),
  region: z.string().max(63).default(""),
  /** What an egress may ever dial. */
  targets: z
    .array(
      z.strictObject({
        cidr: z.string().regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/, "must be a CIDR such as 10.0.0.0/8"),
        fromPort: port.default(1),
        toPort: port.default(65_535),
      }),
    )
    .default([]),
});

const releaseShape = /^\d+\.\d+\.\d+[0-9A-Za-z.+-]*$/;

/** Whether a text can be the name of a release. What nodes tell of themselves need not be one. */
export function isRelease(text: string): boolean {
  return releaseShape.test(text);
}

const inventorySchema = z.strictObject({
  /** By slug; that of the operator's context when absent. */
  cluster: name.optional(),
  /** What every host is to run. Absent: versions are not looked at. */
  version: z.string().regex(releaseShape, 'write a version such as "0.1.0"').optional(),
  control: z.array(controlSchema).min(1, "name at least one control"),
  nodes: z.array(nodeSchema).min(1, "name at least one node"),
});

export type Inventory = z.output<typeof inventorySchema>;
export type DeployNode = Inventory["nodes"][number];

const placeholder =
  /<[^<>]*>|\$\{[^}]*\}|\$\([^)]*\)|\{\{[^}]*\}\}|%[A-Z_]{2,}%|@[A-Z_]{2,}@|\b(?:change|replace|fill)[-_ ]?(?:me|this|in)\b|\b(?:tbd|fixme|xxx+)\b|\.\.\.|^\?+$/i;

/** Places that nobody has filled in, each with where it stands. */
function placeholders(value: unknown, path: string): string[] {
  if (value === null || value === "") return [`${path}: is empty; fill it in, or take the line out`];
  if (typeof value === "string") {
    const found = placeholder.exec(value);
    return found === null ? [] : [`${path}: "${value}" still has a placeholder (${found[0]}); fill it in`];
  }
  if (Array.isArray(value)) return value.flatMap((each, at) => placeholders(each, `${path}[${at}]`));
  if (typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, each]) => {
    const where = path === "" ? key : `${path}.${key}`;
    const found = placeholder.exec(key);
    return [...(found === null ? [] : [`${where}: the key is a placeholder`]), ...placeholders(each, where)];
  });
}

/** `nodes[1].advertise[0]`, as `placeholders` writes it. */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("")
    .replace(/^\./, "");
}

/** Every value that several have, with who they are. */
function twice(owners: readonly (readonly [owner: string, value: string])[], what: string): string[] {
  const by = new Map<string, string[]>();
  for (const [owner, value] of owners) by.set(value, [...(by.get(value) ?? []), owner]);
  return [...by].flatMap(([value, all]) =>
    all.length < 2 ? [] : [`${what} ${value} is given ${all.length} times: ${all.join(", ")}`],
  );
}

const everywhere: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);
const onlyHere: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"]);

/** What is wrong with one node by itself. */
function nodeProblems({ name: node, roles, listen, advertise, dialOutOnly, pool, targets }: DeployNode): string[] {
  const isEgress = roles.includes("egress");
  return [
    ...twice(
      roles.map((role) => [node, role]),
      `${node}: role`,
    ),
    ...(dialOutOnly && (listen !== undefined || advertise.length > 0)
      ? [`${node}: a node that only dials out has no address; take listen and advertise out, or dialOutOnly`]
      : []),
    ...(dialOutOnly && roles.includes("relay")
      ? [`${node}: a relay is dialled by others; it cannot only dial out`]
      : []),
    ...(!dialOutOnly && (listen === undefined || advertise.length === 0)
      ? [`${node}: say where it listens and what it advertises, or dialOutOnly: true`]
      : []),
    ...(pool !== undefined && !isEgress ? [`${node}: only an egress belongs to a pool`] : []),
    ...(targets.length > 0 && !isEgress ? [`${node}: only an egress has targets`] : []),
    ...targets.flatMap(({ cidr, fromPort, toPort }) =>
      fromPort > toPort ? [`${node}: target ${cidr}: fromPort ${fromPort} is above toPort ${toPort}`] : [],
    ),
  ];
}

/** What no other host could dial. */
function advertiseProblems(inventory: Pick<Inventory, "control" | "nodes">): string[] {
  const hosts = new Set([...inventory.control, ...inventory.nodes].map((each) => each.host));
  const advertised = [
    ...inventory.control.map((each) => [`${each.name}: public`, each.public] as const),
    ...inventory.nodes.flatMap((each) => each.advertise.map((one) => [`${each.name}: advertise`, one] as const)),
  ];
  return advertised.flatMap(([where, one]) => {
    if (everywhere.has(one.host)) return [`${where}: ${hostPortText(one)} is no address to dial; name the host's own`];
    const isLost = hosts.size > 1 && onlyHere.has(one.host);
    return isLost ? [`${where}: ${hostPortText(one)} means another host wherever it is read; name the host's own`] : [];
  });
}

/** What the file says as it stands, where it has the form for it: so that one mistake hides no other. */
interface Pieces {
  readonly control: Inventory["control"];
  readonly nodes: Inventory["nodes"];
  /** Name and host of everything, and every role, right or wrong. */
  readonly names: readonly (readonly [host: string, name: string])[];
  readonly roles: ReadonlySet<unknown>;
}

const listOf = (value: unknown, key: string): readonly Readonly<Record<string, unknown>>[] => {
  const list = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return Array.isArray(list) ? list.filter((each) => typeof each === "object" && each !== null) : [];
};

function piecesOf(value: unknown): Pieces {
  const [control, nodes] = [listOf(value, "control"), listOf(value, "nodes")];
  return {
    control: control.flatMap((each) => controlSchema.safeParse(each).data ?? []),
    nodes: nodes.flatMap((each) => nodeSchema.safeParse(each).data ?? []),
    names: [...control, ...nodes].flatMap((each) =>
      typeof each["name"] === "string" ? [[String(each["host"] ?? "no host"), each["name"]] as const] : [],
    ),
    roles: new Set(nodes.flatMap((each) => (Array.isArray(each["roles"]) ? each["roles"] : []))),
  };
}

function togetherProblems({ control, nodes, names, roles }: Pieces): string[] {
  const missing = (["entry", "relay", "egress"] as const).filter((role) => !roles.has(role));
  const addresses = [
    ...control.map((each) => [each.name, hostPortText(each.public)] as const),
    ...nodes.flatMap((each) => each.advertise.map((one) => [each.name, hostPortText(one)] as const)),
  ];
  const bound = [
    ...control.flatMap((each) => [
      [`${each.name} (public)`, `${each.public.port} of ${each.host}`] as const,
      [`${each.name} (operator)`, `${each.operator.port} of ${each.host}`] as const,
    ]),
    ...nodes.flatMap((each) =>
      each.listen === undefined ? [] : [[each.name, `${each.listen.port} of ${each.host}`] as const],
    ),
  ];
  const hostsOfNodes = nodes.map((each) => [each.name, each.host] as const);
  return [
    ...twice(names, "name"),
    ...twice(addresses, "address"),
    ...twice(bound, "port"),
    ...twice(hostsOfNodes, "one node is what a host can run (give it both roles);"),
    ...(missing.length === 0
      ? []
      : [`nodes: no ${missing.join(" and no ")}: no path leads from an entry over a relay to an egress`]),
  ];
}

/** What is allowed, and yet seldom meant. */
export function remarksOn({ nodes }: Inventory): readonly string[] {
  const relays = nodes.filter(({ roles }) => roles.includes("relay"));
  const egresses = nodes.filter(({ roles }) => roles.includes("egress"));
  return [
    ...(relays.length === 1
      ? ["one relay: no connection survives its loss; join a second one before you rely on it"]
      : []),
    ...egresses.flatMap(({ name: node, pool, targets }) => [
      ...(pool === undefined ? [`${node} is in no pool: nothing leads there`] : []),
      ...(targets.length === 0 ? [`${node} has no targets: whatever control says, it would dial it`] : []),
    ]),
  ];
}

/**
 * Reads an inventory.
 * @throws ConfigError with every problem of it.
 */
export function readInventory(text: string): Inventory {
  const document = parseDocument(text, { uniqueKeys: true, merge: false });
  const broken = [...document.errors, ...document.warnings].map(({ message }) => message.split("\n")[0] ?? "");
  if (broken.length > 0) throw new ConfigError(broken);
  const value = plainValue(document);
  if (typeof value !== "object" || value === null)
    throw new ConfigError(["the file: holds no inventory; it begins with control: and nodes:"]);
  const unfilled = placeholders(value, "");
  const parsed = inventorySchema.safeParse(value);
  // A placeholder is said once, not again as a value of the wrong form.
  const said = new Set(unfilled.map((problem) => problem.split(": ")[0]));
  const malformed = (parsed.error?.issues ?? []).flatMap((issue) => {
    const where = pathText(issue.path);
    return said.has(where) ? [] : [`${where || "the file"}: ${issue.message}`];
  });
  const pieces = piecesOf(value);
  const problems = [
    ...unfilled,
    ...malformed,
    ...pieces.nodes.flatMap(nodeProblems),
    ...advertiseProblems(pieces),
    ...togetherProblems(pieces),
  ];
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return parsed.data;
}

/** Plain data: an anchor that is used again and again makes a small file a huge one. */
function plainValue(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new ConfigError(["the file: write things out instead of anchors and aliases"]);
  }
}
