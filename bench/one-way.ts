/**
 * `npm run bench -- one-way`: the example client in Go sends random bytes through an entry and one relay to a resource that
 * answers with their SHA-256. Client, control, nodes and target share this machine.
 */

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFabric } from "../cli/up/fabric.ts";
import { pathInUse } from "../cli/up/smoke.ts";
import { exampleClient, runExample } from "../examples/example-client.ts";
import { messageOf } from "../lib/errors.ts";
import { run } from "../tests/harness/fabric.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import { exitOnSignals } from "./load/signals.ts";
import { round } from "./load/statistics.ts";

const usage = `usage: npm run bench -- one-way [--mbytes 268] [--runs 5] [--json]
  --mbytes  sent in each run, in 10^6 bytes (default 268)
  --runs    the median of so many is told (default 5)
One JSON object goes to standard output, everything else to standard error.`;

const withinMs = 120_000;

interface Sent {
  readonly mb_per_s: number;
  readonly sha256_equal: boolean;
}

/** Answers with the SHA-256 of all it was sent, in hex, when the sender is done. */
function startSink(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash("sha256");
    socket.on("data", (chunk) => hash.update(chunk));
    socket.on("end", () => socket.end(hash.digest("hex")));
    socket.on("error", () => socket.destroy());
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function measure(bytes: number, runs: number, scratch: string, sink: Server): Promise<object> {
  const client = exampleClient("go");
  const fabric = await startFabric({ onProgress: say, logLevel: "warn" });
  try {
    const identity = join(scratch, "client");
    const weft = async (...words: readonly string[]): Promise<void> => {
      const done = await run(process.execPath, ["cli/bin.ts", ...words], { env: { WEFT_CONTEXT: fabric.contextDir } });
      if (done.code !== 0) throw new Error(`weft ${words.join(" ")}: ${done.stderr}`);
    };
    const { port } = sink.address() as AddressInfo;
    await weft("resource", "add", "sink", "--pool", "demo-exit", "--target", `127.0.0.1:${port}`);
    await weft("identity", "add", "client", "bench", "--organization", "demo", "--out", identity);
    const entry = String(fabric.process("entry-1").facts.public);
    const flags = { identity, entry, resource: "sink", bytes, "one-way": "" };
    const sent: Sent[] = [];
    for (let at = 1; at <= runs; at += 1) {
      const answer = await runExample<Sent>(client, "transfer", flags, withinMs).answer;
      say(`run ${at}: ${round(answer.mb_per_s, 1)} MB/s`);
      sent.push(answer);
    }
    const rates = sent.map((answer) => answer.mb_per_s).sort((a, b) => a - b);
    return {
      language: "go",
      path: await pathInUse(fabric, "entry-1"),
      bytes,
      runs,
      sha256_equal: sent.every((answer) => answer.sha256_equal),
      mb_per_s: { median: round(rates[Math.floor(rates.length / 2)] ?? 0, 1), max: round(rates.at(-1) ?? 0, 1) },
    };
  } finally {
    await fabric.stop();
  }
}

exitOnSignals();
const options = readCommandLine(usage, (args) => {
  const values = benchOptions(args, { mbytes: "268", runs: "5" });
  if (values === undefined) return undefined;
  return {
    bytes: numberOption("--mbytes", values.mbytes, { min: 1 }) * 1e6,
    runs: numberOption("--runs", values.runs, { min: 1, whole: true }),
  };
});
if (options !== undefined) {
  const scratch = mkdtempSync(join(tmpdir(), "weft-one-way-"));
  const sink = await startSink();
  try {
    const result = await measure(Math.round(options.bytes), options.runs, scratch, sink);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } catch (thrown) {
    say(messageOf(thrown));
    process.exitCode = 1;
  } finally {
    sink.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}
