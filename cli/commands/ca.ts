/** `weft ca`: authorities and signing keys, and their rotation. */

import type { Command } from "commander";
import { type Authority, CaService, type Rotation, RotationPhase } from "../../gen/weft/admin/v1/ca_pb.ts";
import { RootKind, SigningPurpose } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { sleep, systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { enumName, enumValue, groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, type Session, withSession } from "../session.ts";

interface KindOptions extends GlobalOptions {
  readonly kind: string;
}

interface RotateOptions extends KindOptions {
  readonly purpose?: string;
  readonly overlap?: number;
  readonly manual?: boolean;
  readonly wait?: boolean;
  readonly timeout: number;
}

const kindNames = "node, control, client, pool or operator";

function rootKind(text: string): RootKind {
  const kind: RootKind = enumValue(RootKind, text, "kind of root");
  return kind;
}

function authorityRow(row: Authority): string[] {
  const spent = `${Math.round(row.lifeSpentShare * 100)} %`;
  return [
    enumName(RootKind, row.kind),
    String(row.generation),
    row.status,
    row.keyId.slice(0, 16),
    when(row.notAfterMs),
    spent,
    String(row.liveLeaves),
  ];
}

function rotationRow(row: Rotation): string[] {
  const waits = isOver(row) ? "-" : stragglersText(row);
  return [
    enumName(RootKind, row.kind),
    enumName(RotationPhase, row.phase),
    when(row.phaseSinceMs),
    isOver(row) ? "-" : `${row.acknowledged} of ${row.nodes}`,
    row.exemptions.map(({ name }) => name).join(", ") || "-",
    row.complete ? (row.manual ? "nobody: weft ca advance" : "nobody") : waits,
  ];
}

async function showStatus(options: GlobalOptions & { all?: boolean; evidence?: boolean }): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(CaService).getCaStatus({
      clusterId: await session.clusterId(),
      all: options.all === true,
      evidence: options.evidence === true,
    }),
  );
  const shown = answer.authorities.filter(({ status }) => options.all === true || status !== "dropped");
  print(options, answer, () =>
    [
      `trust bundle ${answer.bundleVersion}, ${Buffer.from(answer.bundleHash).toString("hex").slice(0, 16)}`,
      "",
      table(["ROOT", "GENERATION", "STATUS", "KEY", "ENDS", "SPENT", "LEAVES"], shown.map(authorityRow)),
      "",
      table(
        ["KEY SIGNS", "GENERATION", "STATUS", "KEY", "REFUSED FROM"],
        answer.signingKeys.map((key) => [
          ...[key.purpose, String(key.generation), key.status, key.keyId.slice(0, 16)],
          key.refusedFromMs === 0n ? "-" : when(key.refusedFromMs),
        ]),
      ),
      ...(answer.rotations.length === 0
        ? ["", "no rotation is running"]
        : [
            "",
            table(["ROTATION", "PHASE", "SINCE", "NODES", "EXEMPT", "WAITS FOR"], answer.rotations.map(rotationRow)),
          ]),
      ...(answer.evidence.length === 0
        ? []
        : [
            "",
            table(
              ["NODE", "ACKNOWLEDGED", "HASH", "CONNECTIONS RELY ON", "RECEIVED"],
              answer.evidence.map((row) => [
                ...[row.name || row.nodeId, String(row.version), Buffer.from(row.hash).toString("hex").slice(0, 16)],
                ...[row.taintedInUse.map((keyId) => keyId.slice(0, 16)).join(", ") || "-", when(row.receivedAtMs)],
              ]),
            ),
          ]),
    ].join("\n"),
  );
}

const purposes = [SigningPurpose.SNAPSHOT, SigningPurpose.FEED, SigningPurpose.CONTRACT];

async function rotateSigning(options: RotateOptions): Promise<void> {
  const wanted = options.purpose === undefined ? purposes : [purposeOf(options.purpose)];
  const rotated = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    const answers = [];
    for (const purpose of wanted) {
      const overlapMs = BigInt(options.overlap ?? 0);
      answers.push(await session.client(CaService).rotateSigningKey({ clusterId, purpose, overlapMs }));
    }
    return answers;
  });
  print(options, { rotated }, () =>
    rotated
      .map(({ active, retired }) => {
        const until = when(retired?.refusedFromMs ?? 0n);
        return `${active?.purpose}: key ${active?.keyId.slice(0, 16)} signs; ${retired?.keyId.slice(0, 16)} is taken until ${until}`;
      })
      .join("\n"),
  );
}

function purposeOf(text: string): SigningPurpose {
  const purpose: SigningPurpose = enumValue(SigningPurpose, text, "purpose of a key");
  return purpose;
}

async function rotate(options: RotateOptions): Promise<void> {
  if (options.kind === "signing") return await rotateSigning(options);
  const kind = rootKind(options.kind);
  await changed(options, kind, "is published", async (session) => {
    const clusterId = await session.clusterId();
    const { rotation } = await session.client(CaService).startRotation({
      ...{ clusterId, kind, manual: options.manual === true },
    });
    return rotation;
  });
}

/** Makes a change, and with `--wait` follows the rotation to its end, telling each step and whom it waits for. */
async function changed(
  options: KindOptions & { readonly wait?: boolean; readonly timeout?: number },
  kind: RootKind,
  words: string,
  work: (session: Session) => Promise<Rotation | undefined>,
): Promise<void> {
  const first = await withSession(options, work);
  if (first === undefined) throw new WeftError("internal", "control said nothing about the rotation");
  const rotation = options.wait === true ? await waited(options, kind, first) : first;
  print(options, { rotation }, () =>
    isOver(rotation)
      ? `the rotation of the ${enumName(RootKind, kind)} root is ${enumName(RotationPhase, rotation.phase)}`
      : `the ${enumName(RootKind, kind)} root's rotation ${words}; it is in phase ${enumName(RotationPhase, rotation.phase)} and waits for ${stragglersText(rotation)}`,
  );
}

/** The rotation at its end; every step and whom it waits for is told as it changes. */
async function waited(
  options: KindOptions & { readonly timeout?: number },
  kind: RootKind,
  first: Rotation,
): Promise<Rotation> {
  const endMs = systemClock.monoMs() + (options.timeout ?? 0);
  let rotation = first;
  let told = "";
  while (!isOver(rotation)) {
    const now = `phase ${enumName(RotationPhase, rotation.phase)}: ${rotation.acknowledged} of ${rotation.nodes} nodes; waits for ${stragglersText(rotation)}`;
    if (now !== told) process.stderr.write(`weft: ${now}\n`);
    told = now;
    if (systemClock.monoMs() >= endMs) throw stillWaiting(options, rotation);
    await sleep(systemClock, pollEveryMs);
    const rotations = await withSession(options, (session) => rotationsOf(session, kind));
    rotation = rotations.find(({ id }) => id === first.id) ?? rotation;
  }
  return rotation;
}

const pollEveryMs = 1_000;

function isOver({ phase }: Rotation): boolean {
  return phase === RotationPhase.DONE || phase === RotationPhase.ROLLED_BACK;
}

/** Rotations of a kind, past ones too. */
async function rotationsOf(session: Session, kind: RootKind): Promise<Rotation[]> {
  const { rotations } = await session
    .client(CaService)
    .getCaStatus({ clusterId: await session.clusterId(), all: true });
  return rotations.filter((rotation) => rotation.kind === kind);
}

const namedMaxCount = 8;

/** Whom a rotation waits for: "relay-2 (acknowledgement), laptop (leaf)". */
function stragglersText({ stragglers, stragglersCount }: Rotation): string {
  const named = stragglers.slice(0, namedMaxCount).map(({ name, waitsFor }) => `${name} (${waitsFor})`);
  const more = stragglersCount - named.length;
  return named.length === 0 ? "nobody" : `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function stillWaiting(options: KindOptions, rotation: Rotation): WeftError {
  const message = `the rotation stands in phase ${enumName(RotationPhase, rotation.phase)} and waits for ${stragglersText(rotation)}; go on without one with "weft ca exempt NAME --kind ${options.kind} --reason TEXT", or turn back with "weft ca rollback --kind ${options.kind}"`;
  return new WeftError("failed_precondition", message, { detail: "ROTATION_WAITING" });
}

async function advance(options: KindOptions): Promise<void> {
  const kind = rootKind(options.kind);
  await changed(options, kind, "goes on", async (session) => {
    const answer = await session.client(CaService).advanceRotation({ clusterId: await session.clusterId(), kind });
    return answer.rotation;
  });
}

async function exempt(options: KindOptions & { readonly reason: string }, wanted: string): Promise<void> {
  const kind = rootKind(options.kind);
  await changed(options, kind, `no longer waits for ${wanted}`, async (session) => {
    const clusterId = await session.clusterId();
    const rotations = await rotationsOf(session, kind);
    const known = rotations.flatMap(({ stragglers }) => stragglers).find(({ id, name }) => [id, name].includes(wanted));
    const subjectId = known?.id ?? wanted;
    const { reason } = options;
    const answer = await session.client(CaService).exemptFromRotation({ clusterId, kind, subjectId, reason });
    return answer.rotation;
  });
}

async function rollBack(
  options: KindOptions & { readonly reason?: string; readonly wait?: boolean; readonly timeout: number },
): Promise<void> {
  const kind = rootKind(options.kind);
  await changed(options, kind, "turns back", async (session) => {
    const answer = await session
      .client(CaService)
      .rollBackRotation({ clusterId: await session.clusterId(), kind, reason: options.reason ?? "" });
    return answer.rotation;
  });
}

/** Commands about roots look for newer ones first: the operator's own are among what rotates. */
function aboutRoots<Options extends GlobalOptions, Rest extends unknown[]>(
  work: (options: Options, ...rest: Rest) => Promise<void>,
): (options: Options, ...rest: Rest) => Promise<void> {
  return (options, ...rest) => work({ ...options, freshRoots: true }, ...rest);
}

export function addCaCommands(program: Command): void {
  const ca = program
    .command("ca")
    .description("authorities and signing keys, and their rotation")
    .addHelpText(
      "after",
      groupExamples("weft ca status", "weft ca rotate --kind node --wait", "weft ca rollback --kind node"),
    );
  ca.command("status")
    .description("show roots, signing keys, rotations, and whom they wait for")
    .option("--all", "dropped roots and past rotations too")
    .option("--evidence", "what each node acknowledged; with --json its signature and certificate")
    .addHelpText("after", "\nExample:\n  weft ca status --all --json")
    .action(action(aboutRoots(showStatus)));
  ca.command("rotate")
    .description("replace a root, step by step as all nodes acknowledge, or the online signing keys")
    .requiredOption("--kind <kind>", `${kindNames}; or signing`)
    .option("--purpose <purpose>", "signing: snapshot, feed or contract (default: all three)")
    .option("--overlap <time>", "signing: how long the key before is still taken", durationMs)
    .option("--manual", "go on only when told so with weft ca advance")
    .option("--wait", "wait for the end and tell each step; names whom it waits for")
    .option("--timeout <time>", "give up waiting after this long; the rotation goes on", durationMs, 600_000)
    .addHelpText(
      "after",
      "\nExamples:\n  weft ca rotate --kind node --wait\n  weft ca rotate --kind signing --purpose snapshot --overlap 2h",
    )
    .action(action(aboutRoots(rotate)));
  ca.command("advance")
    .description("the next phase of a manual rotation; refused while somebody is waited for")
    .requiredOption("--kind <kind>", kindNames)
    .addHelpText("after", "\nExample:\n  weft ca advance --kind node")
    .action(action(aboutRoots(advance)));
  ca.command("exempt <name>")
    .description("the present rotation no longer waits for this node, client or operator")
    .requiredOption("--kind <kind>", kindNames)
    .requiredOption("--reason <text>", "for the audit log")
    .addHelpText("after", '\nExample:\n  weft ca exempt relay-3 --kind node --reason "in repair until May"')
    .action(action(aboutRoots(exempt)));
  ca.command("rollback")
    .description("turn back: the root that signed before signs again, and the new one goes")
    .requiredOption("--kind <kind>", kindNames)
    .option("--reason <text>", "for the audit log", "")
    .option("--wait", "wait for the end and tell each step")
    .option("--timeout <time>", "give up waiting after this long; the rollback goes on", durationMs, 600_000)
    .addHelpText("after", '\nExample:\n  weft ca rollback --kind node --reason "wrong week" --wait')
    .action(action(aboutRoots(rollBack)));
}
