/**
 * `npm run examples -- go|python`: starts a fabric as `weft up` does, lets the example client of that language show all it
 * can, and kills the relay in use under its transfer. With `--json` exactly one object on one line; everything else is told
 * on standard error.
 */

import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Argument, Command } from "commander";
import { wholeNumber } from "../cli/arguments.ts";
import { abortOnSignals } from "../cli/interrupts.ts";
import { exitCodes, print, safeLines } from "../cli/output.ts";
import { type Fabric, startFabric } from "../cli/up/fabric.ts";
import { messageOf } from "../lib/errors.ts";
import { MiB } from "../lib/limits.ts";
import { exampleClient, type Language, languages } from "./example-client.ts";
import { type Place, problemsOf, problemsOfWatched, tryEnrollment, tryRefusals, watchMoves } from "./tour.ts";
import { type ExampleReport, transferUnderLoss } from "./under-loss.ts";

interface Options {
  readonly json?: boolean;
  readonly bytes?: number;
}

const weftBin = fileURLToPath(new URL("../cli/bin.ts", import.meta.url));

const nothing: ExampleReport = { ok: false, bytes: 0, sha256_equal: false, mb_per_s: 0, failovers: 0 };

function progress(line: string): void {
  process.stderr.write(`examples: ${safeLines(line)}\n`);
}

/** What an operator does for a client. */
function addClient(fabric: Fabric, out: string): void {
  const words = ["identity", "add", "client", "example", "--organization", "demo", "--out", out];
  const env = { ...process.env, WEFT_CONTEXT: fabric.contextDir };
  const added = spawnSync(process.execPath, [weftBin, ...words], { encoding: "utf8", env });
  if (added.status !== 0) throw new Error(`the client could not be added: ${added.stderr}`);
}

/** Everything the client can, in turn; the transfer under loss is what is reported. */
async function show(place: Place, bytes: number): Promise<ExampleReport> {
  const problems = problemsOf(await tryRefusals(place));
  progress("refusals, deadline and cancellation are as they should be");
  const enrolled = await tryEnrollment(place);
  if (enrolled.health !== "NODE_HEALTH_ONLINE") problems.push(`the node is ${enrolled.health}`);
  progress(`it was node ${enrolled.name} for ${enrolled.beats} beats`);
  const watch = watchMoves(place);
  await watch.told("watching");
  const { fabric, client, identity } = place;
  const { hurt, reports } = await transferUnderLoss({
    fabric,
    identity,
    clients: [client],
    bytes,
    onProgress: progress,
  });
  const [report = nothing] = reports;
  problems.push(...problemsOfWatched(await watch.answer, place.fabric));
  progress(`${hurt} was lost; the client's own watch has heard of the move`);
  for (const problem of problems) progress(problem);
  return { ...report, ok: report.ok && problems.length === 0 };
}

async function run(language: Language, options: Options): Promise<void> {
  const { signal, off } = abortOnSignals("stopping", "EXAMPLES_INTERRUPTED");
  const scratch = mkdtempSync(join(tmpdir(), "weft-example-"));
  chmodSync(scratch, 0o700);
  let fabric: Fabric | undefined;
  let result: object = { ok: false };
  let isOk = false;
  try {
    const client = exampleClient(language);
    fabric = await startFabric({ onProgress: progress, signal, logLevel: "warn" });
    const identity = join(scratch, "client");
    addClient(fabric, identity);
    const interrupted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const report = await Promise.race([
      show({ fabric, client, identity, scratch }, options.bytes ?? 64 * MiB),
      interrupted,
    ]);
    isOk = report.ok;
    result = report;
  } catch (thrown) {
    result = { ok: false, error: messageOf(thrown) };
    progress(messageOf(thrown));
  } finally {
    await fabric?.stop();
    rmSync(scratch, { recursive: true, force: true });
    off();
  }
  process.exitCode = isOk ? exitCodes.ok : exitCodes.failure;
  print(options, result, () => JSON.stringify(result, null, 2));
}

await new Command("examples")
  .description("a client in another language on a fabric of its own, whose relay is killed under a transfer")
  .addArgument(new Argument("<language>", "which client").choices(languages))
  .option("--json", "exactly one object on one line")
  .option("--bytes <count>", "each way (default: 67108864)", wholeNumber())
  .action(run)
  .parseAsync();
