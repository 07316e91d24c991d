import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { expect, it } from "vitest";
import type { ControlService, ReportSnapshotForkRequest } from "../../../gen/weft/control/v1/control_pb.ts";
import { WeftError } from "../../../lib/errors.ts";
import { runForkReporter } from "../../../node/fork-reporter.ts";
import { openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import { eventually } from "../../harness/eventually.ts";
import { envelopeWith, installation, stateFolder, testPorts } from "./stage.ts";

/** What is under way gets on. */
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));
const hex = (payload: Uint8Array): string => createHash("sha256").update(payload).digest("hex");

/** One run of a node's reporter against a control that answers as the test says. */
function run(stateDir: string, answer: () => WeftError | undefined) {
  const ports = testPorts();
  const { clock, log, events, identity, random } = ports;
  const deps = { stateDir, identity, installationKeySpki: installation.spkiDer, clock, log, events };
  const holder = openSnapshotHolder({ ...deps, limit: (shown) => shown });
  const told: ReportSnapshotForkRequest[] = [];
  let calls = 0;
  const client = {
    reportSnapshotFork: async (request: ReportSnapshotForkRequest) => {
      calls += 1;
      const refusal = answer();
      if (refusal !== undefined) throw refusal;
      told.push(request);
      return {};
    },
  } as unknown as Client<typeof ControlService>;
  const leaving = new AbortController();
  const done = runForkReporter({ stateDir, events, clock, random, log, control: () => client }, leaving.signal);
  const stop = async (): Promise<void> => {
    leaving.abort();
    await done;
  };
  return { clock, holder, told, calls: () => calls, stop };
}

it("THR-S1 shows control both contents of one version, until it has taken them in, and again after a restart", async () => {
  using folder = stateFolder();
  const held = envelopeWith({ version: 5n });
  const other = envelopeWith({ version: 5n, clusterSlug: "another" });
  let away = true;
  const first = run(folder.dir, () => (away ? new WeftError("unavailable", "away") : undefined));
  expect(first.holder.offer(held)).toBe("applied");
  expect(first.holder.offer(envelopeWith({ version: 4n }))).toBe("refused");
  expect(first.holder.offer(other)).toBe("refused");
  await eventually(() => first.calls() === 1, { what: "the first try" });
  expect(first.told).toEqual([]);
  away = false;
  await eventually(() => {
    first.clock.advance(60_000);
    return first.told.length === 1;
  });
  const [report] = first.told;
  expect(hex(report?.refused?.payload ?? new Uint8Array())).toBe(hex(other.payload));
  expect(Buffer.from(report?.heldPayloadHash ?? []).toString("hex")).toBe(hex(held.payload));
  // Once is enough for one run, however often it comes again.
  expect(first.holder.offer(other)).toBe("refused");
  await turn();
  first.clock.advance(600_000);
  await turn();
  expect(first.calls()).toBe(2);
  await first.stop();
  // A damaged file keeps nothing else from being shown.
  writeFileSync(join(folder.dir, "snapshot-fork-00000000.bin"), "\xff\xff damaged");
  const again = run(folder.dir, () => undefined);
  await eventually(() => again.told.length === 1, { what: "what was on disk" });
  await again.stop();
});

it("takes a refusal as control's last word, and has nothing to say without evidence", async () => {
  using folder = stateFolder();
  const node = run(folder.dir, () => new WeftError("invalid_argument", "no"));
  node.holder.offer(envelopeWith({ version: 5n }));
  node.holder.offer(envelopeWith({ version: 3n }));
  await turn();
  node.clock.advance(60_000);
  await turn();
  expect(node.calls()).toBe(0);
  node.holder.offer(envelopeWith({ version: 5n, clusterSlug: "another" }));
  await eventually(() => node.calls() === 1, { what: "the only try" });
  await turn();
  node.clock.advance(600_000);
  node.holder.offer(envelopeWith({ version: 3n }));
  await turn();
  expect(node.calls()).toBe(1);
  await node.stop();
});
