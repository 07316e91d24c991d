/** Who may call what on real ports, what certificates do after their end, and what no caller and no file may show. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { certificatePem } from "../../certs/material.ts";
import { connect as connectClient } from "../../client/connect.ts";
import { readClientFolder } from "../../client/identity.ts";
import { clientServerName, controlServerName } from "../../fabric/server-names.ts";
import { file_weft_admin_v1_identity } from "../../gen/weft/admin/v1/identity_pb.ts";
import { file_weft_admin_v1_node } from "../../gen/weft/admin/v1/node_pb.ts";
import { file_weft_admin_v1_request } from "../../gen/weft/admin/v1/request_pb.ts";
import { file_weft_admin_v1_role } from "../../gen/weft/admin/v1/role_pb.ts";
import { file_weft_admin_v1_token } from "../../gen/weft/admin/v1/token_pb.ts";
import { file_weft_heartbeat_v1_heartbeat } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { file_weft_node_v1_node } from "../../gen/weft/node/v1/node_pb.ts";
import { FarEdge } from "../../gen/weft/relay/v1/relay_pb.ts";
import { agree, bringLeg, StolenNode } from "../attack/stolen-node.ts";
import { type Check, holds } from "../check.ts";
import { until } from "../until.ts";
import { type Handshake, type RawOptions, rawCall, type Shown, shakeHands } from "./raw-call.ts";
import type { FabricWorld } from "./world.ts";

const slug = "default";
const listIdentities = "/weft.admin.v1.IdentityService/ListIdentities";

function operatorShown({ fabric }: FabricWorld): Shown {
  const read = (file: string): string => readFileSync(join(fabric.contextDir, file), "utf8");
  return { certificatePem: read("operator.crt"), keyPem: read("operator.key") };
}

function nodeShown(world: FabricWorld, name: string): Shown {
  const { leaf } = world.identity(name).identity;
  return { certificatePem: certificatePem(leaf.certificateDer), keyPem: leaf.keyPem };
}

function clientShown({ clientDir }: FabricWorld): Shown {
  const { keyPem, certificatePem: pem } = readClientFolder(clientDir).pems;
  return { certificatePem: pem, keyPem };
}

const control = ({ fabric }: FabricWorld): string => `127.0.0.1:${fabric.plan.control.operatorPort}`;
const controlNodes = ({ fabric }: FabricWorld): string => `127.0.0.1:${fabric.plan.control.publicPort}`;

async function ownCertificate(world: FabricWorld): Promise<string> {
  const own = await rawCall(control(world), listIdentities, { shown: operatorShown(world) });
  holds(own === "grpc 0", `the operator's own certificate: ${own}`);
  const beat = "/weft.heartbeat.v1.HeartbeatService/Beat";
  const name = controlServerName(slug);
  const node = await rawCall(controlNodes(world), beat, { shown: nodeShown(world, "entry-1"), serverName: name });
  holds(node.startsWith("grpc") && node !== "grpc 16" && node !== "grpc 7", `a node's own certificate: ${node}`);
  const wrong = {
    "nobody's": undefined,
    "a node's": nodeShown(world, "entry-1"),
    "a client's": clientShown(world),
  };
  for (const [whose, shown] of Object.entries(wrong)) {
    const answer = await rawCall(control(world), listIdentities, shown === undefined ? {} : { shown });
    holds(!answer.startsWith("grpc 0"), `${whose} certificate lists identities: ${answer}`);
  }
  return "an operator's and a node's certificate are served, nobody's, a node's and a client's are not";
}

const services = [
  file_weft_admin_v1_identity,
  file_weft_admin_v1_node,
  file_weft_admin_v1_request,
  file_weft_admin_v1_role,
  file_weft_admin_v1_token,
  file_weft_heartbeat_v1_heartbeat,
  file_weft_node_v1_node,
].flatMap((file) => [...nestedTypes(file)].flatMap((type) => (type.kind === "service" ? [type] : [])));

async function everyRpc(world: FabricWorld): Promise<string> {
  const paths = services.flatMap(({ typeName, methods }) => methods.map(({ name }) => `/${typeName}/${name}`));
  const callers = [
    [control(world), { shown: nodeShown(world, "relay-1") }],
    [world.operatorAddress("entry-1"), { shown: clientShown(world) }],
    [world.publicAddress("entry-1"), { shown: clientShown(world), serverName: clientServerName(slug) }],
    [controlNodes(world), { shown: operatorShown(world), serverName: controlServerName(slug) }],
  ] as const;
  let calls = 0;
  for (const [address, options] of callers) {
    for (const path of paths) {
      const answer = await rawCall(address, path, options);
      calls += 1;
      holds(!answer.startsWith("grpc 0"), `${path} at ${address}: ${answer}`);
      // Where a caller of this kind is no caller at all, every RPC ends in the same way.
      if (!answer.startsWith("grpc")) break;
    }
  }
  return `${calls} calls of ${paths.length} RPCs by four wrong callers, none served`;
}

type Door = readonly [name: string, address: string, options: RawOptions, dial?: () => Promise<Socket>];

/** Where nodes meet: a link, and the two ends a path may have, reached through a relay. */
function linkDoors(world: FabricWorld): readonly Door[] {
  const node = new StolenNode(join(world.fabric.root, "nodes", "entry-2", "state"));
  const relay = node.neighbour("relay-1");
  const { host, port, serverName = "" } = node.endpoint(relay);
  const address = `${host}:${port}`;
  const shown = nodeShown(world, "entry-2");
  const hops = [node.identity.nodeId, relay.nodeId, String(world.fabric.process("egress-1").facts.nodeId)];
  const path = async (over: Parameters<StolenNode["offer"]>[1]): Promise<Socket> => {
    const link = await node.link(relay);
    const { token } = await agree(link.relay, node.offer(hops, over));
    const leg = await bringLeg(relay, token);
    return leg.once("close", () => link.close());
  };
  const poolId = node.snapshot.pools[0]?.poolId ?? "";
  const pool = { farEdge: FarEdge.POOL, poolId, askHash: Buffer.alloc(32, 1) };
  return [
    ["a relay's link door", address, { shown, serverName }],
    ["the end of a node's path", address, { shown }, () => path({})],
    ["the end of a client's path", address, { shown: clientShown(world) }, () => path(pool)],
  ];
}

async function noResumption(world: FabricWorld): Promise<string> {
  const ports: readonly Door[] = [
    ["control's operator port", control(world), { shown: operatorShown(world) }],
    [
      "control's node port",
      controlNodes(world),
      { shown: nodeShown(world, "entry-1"), serverName: controlServerName(slug) },
    ],
    [
      "an entry's client port",
      world.publicAddress("entry-1"),
      { shown: clientShown(world), serverName: clientServerName(slug) },
    ],
    ["a node's operator port", world.operatorAddress("relay-1"), { shown: operatorShown(world) }],
    ...linkDoors(world),
  ];
  let tickets = 0;
  for (const [name, address, options, dial] of ports) {
    const shake = async (more: RawOptions): Promise<Handshake> =>
      await shakeHands(address, dial === undefined ? more : { ...more, socket: await dial() });
    const first = await shake(options);
    holds(first.accepted && first.protocol === "TLSv1.3", `${name}: not accepted (${first.protocol})`);
    for (const session of first.sessions) {
      tickets += 1;
      const { shown: _shown, ...bare } = options;
      const again = await shake({ ...bare, session });
      holds(!again.reused && !again.accepted, `${name}: a ticket alone was let in`);
      const renewed = await shake({ ...options, session });
      holds(!renewed.reused, `${name}: a session was resumed`);
    }
    const older = await shake({ ...options, maxVersion: "TLSv1.2" });
    holds(!older.accepted && older.protocol === "", `${name}: TLS 1.2 was accepted`);
  }
  return `${ports.length} ports: ${tickets} tickets tried, none resumed; TLS 1.2 refused`;
}

interface Failure {
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly detail?: string;
}

async function failureOf(open: Promise<unknown>): Promise<string> {
  const thrown = await open.then(
    () => undefined,
    (cause: unknown) => cause as Failure,
  );
  holds(thrown !== undefined, "it was opened");
  return JSON.stringify([thrown.message, thrown.detail, thrown.metadata]);
}

async function saysNothing(world: FabricWorld): Promise<string> {
  const names = world.fabric.processes.map(({ name, facts }) => ({ name, id: String(facts.nodeId ?? "") }));
  await world.json("resource", "add", "conformance-closed", "--pool", "demo-exit", "--target", "127.0.0.1:9");
  await world.json("resource", "add", "conformance-beyond", "--pool", "demo-exit", "--target", "10.255.255.1:80");
  await world.json("resource", "add", "conformance-metadata", "--pool", "demo-exit", "--target", "169.254.169.254:80");
  const client = connectClient({ identity: world.clientDir });
  try {
    const tried = ["conformance-nowhere", "conformance-closed", "conformance-beyond", "conformance-metadata"];
    for (const resource of tried) {
      const text = await until(async () => {
        const said = await failureOf(client.open(resource));
        // An entry hears of a resource a moment after control.
        return resource === "conformance-nowhere" || !/UNKNOWN_RESOURCE/.test(said) ? said : false;
      }, `${resource} at the entry`);
      const shown = names.find(({ name, id }) => text.includes(name) || (id !== "" && text.includes(id)));
      holds(shown === undefined && !/127\.0\.0\.1|10\.255|169\.254/.test(text), `${resource} tells: ${text}`);
      if (/beyond|metadata/.test(resource)) holds(/NOT_ALLOWED|permission/.test(text), `${resource}: ${text}`);
    }
    return `${tried.length} failures, no name, id or address in them; two targets refused by the egress's ceiling`;
  } finally {
    await client.close();
  }
}

async function clientRevoked(world: FabricWorld): Promise<string> {
  const dir = join(world.scratch, "revoked-client");
  await world.json("identity", "add", "client", "to-be-revoked", "--organization", "demo", "--out", dir);
  const client = connectClient({ identity: dir });
  try {
    const channel = await until(() => client.open("echo").catch(() => false as const), "a channel of the new client");
    const ended = new Promise<number>((resolve) => channel.once("close", () => resolve(performance.now())));
    channel.on("error", () => {});
    channel.resume();
    const startedMs = performance.now();
    await world.json("identity", "revoke", "to-be-revoked");
    const ms = (await ended) - startedMs;
    holds(ms < 10_000, `its channel lived ${Math.round(ms)} ms on`);
    const again = await failureOf(client.open("echo"));
    return `its channel ended ${Math.round(ms)} ms after the command began; the next is refused (${again.length} bytes)`;
  } finally {
    await client.close();
  }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Everything in the fabric's folder that must be seen nowhere else. */
export function secretsOf({ fabric }: FabricWorld): readonly string[] {
  const keys = join(fabric.root, "keys");
  const texts = readdirSync(keys).map((file) => readFileSync(join(keys, file), "utf8").trim());
  for (const { name } of fabric.plan.nodes) {
    try {
      texts.push(readFileSync(join(fabric.root, "nodes", name, "join.token"), "utf8").trim());
    } catch {
      // It was used and removed.
    }
  }
  const bare = texts.filter((text) => /^[A-Za-z0-9_-]{32,}$/.test(text));
  return [...texts, ...bare.map((text) => Buffer.from(text, "base64url").toString("hex"))];
}

function secretsOutside(world: FabricWorld): string {
  const { fabric } = world;
  const secrets = secretsOf(world);
  const places: (readonly [string, string])[] = fabric.processes.flatMap(({ name, pid }) =>
    ["cmdline", "environ"].map((what) => [`${what} of ${name}`, readFileSync(`/proc/${pid}/${what}`, "utf8")] as const),
  );
  for (const file of filesBelow(join(fabric.root, "logs"))) places.push([file, readFileSync(file, "utf8")]);
  for (const [where, text] of places) {
    for (const secret of secrets) holds(secret.length < 8 || !text.includes(secret), `a secret is in ${where}`);
    holds(!text.includes("PRIVATE KEY"), `a private key is in ${where}`);
  }
  const open = filesBelow(fabric.root).filter(
    (file) => /\.(key|token|password|url)$|identity\.json$/.test(file) && (statSync(file).mode & 0o077) !== 0,
  );
  holds(open.length === 0, `others may read ${open.join(", ")}`);
  return `${secrets.length} secrets, ${places.length} argv, environments and logs searched; key files are 0600`;
}

function scopes({ fabric }: FabricWorld): string {
  const snapshotOf = (name: string): Buffer => readFileSync(join(fabric.root, "nodes", name, "state", "snapshot.bin"));
  const has = (name: string, text: string): boolean => snapshotOf(name).includes(Buffer.from(text));
  holds(has("entry-1", "echo") && has("egress-1", "127.0.0.1"), "the search would find nothing");
  for (const relay of ["relay-1", "relay-2", "relay-3"]) {
    for (const word of ["echo", "demo-exit", "echo-entry-1"]) holds(!has(relay, word), `${relay} knows "${word}"`);
  }
  holds(!has("egress-1", "echo-entry-1"), "an egress knows listeners of entries");
  return "relays hold no resource, pool or listener; an egress holds no listener";
}

async function auditVerified(world: FabricWorld): Promise<string> {
  const file = join(world.scratch, "audit.jsonl");
  const exported = await world.weft("audit", "export", file);
  holds(exported.code === 0, exported.stderr);
  const good = await world.weft("audit", "verify", file);
  holds(good.code === 0, `${good.stdout} ${good.stderr}`);
  // Without the name of the file.
  return (good.stdout.trim().split("\n")[0] ?? "").replace(`${file}: `, "");
}

export const trustChecks: readonly Check<FabricWorld>[] = [
  { id: "W8.certificates", law: "M-W8", title: "real calls with own and with other certificates", run: ownCertificate },
  { id: "C2.every-rpc", law: "LAW-C2", title: "every RPC by callers it is not for", run: everyRpc },
  { id: "C1.resumption", law: "THR-C1", title: "no port resumes a session, none speaks TLS 1.2", run: noResumption },
  { id: "C3.failures", law: "LAW-C3", title: "what a client is told when it cannot be served", run: saysNothing },
  {
    id: "I2.processes",
    law: "LAW-I2",
    title: "secrets in argv, environments, logs and open files",
    run: secretsOutside,
  },
  { id: "A12.scopes", law: "M-A12", title: "snapshots hold what the role needs and nothing else", run: scopes },
  { id: "A9.verify", law: "M-A9", title: "the exported audit log is verified offline", run: auditVerified },
  { id: "I4.client-revoked", law: "LAW-I4", title: "a client is revoked with a channel open", run: clientRevoked },
];
