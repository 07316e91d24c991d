/**
 * Loaded into the process of a node before its own code (`--import`): while a file exists, the node acknowledges no trust
 * bundle, though it takes and believes them. Everything else about the process is what ships.
 */

import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { BundleKeeper } from "../../node/bundle-keeper.ts";

const fileVariable = "BENCH_REFUSES_WHILE";

/** Program and arguments a node's process is started through, for it to refuse while `file` exists. */
export function refusingWhile(file: string): readonly string[] {
  const load = `--import=${pathToFileURL(import.meta.filename).href}`;
  const options = [process.env["NODE_OPTIONS"], load].filter(Boolean).join(" ");
  return ["env", `NODE_OPTIONS=${options}`, `${fileVariable}=${file}`];
}

const file = process.env[fileVariable];
if (file !== undefined) {
  const own = BundleKeeper.prototype.ack;
  BundleKeeper.prototype.ack = function ack(this: BundleKeeper, taintedInUse) {
    return existsSync(file) ? undefined : own.call(this, taintedInUse);
  };
}
