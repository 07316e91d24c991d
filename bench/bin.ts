/** `npm run bench -- NAME [arguments]`: runs one benchmark as a process of its own with the data plane's runtime flags. */

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import packageFacts from "../package.json" with { type: "json" };

const folder = fileURLToPath(new URL(".", import.meta.url));
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".ts") && file !== "bin.ts")
  .map((file) => file.slice(0, -3));
const [name = "", ...args] = process.argv.slice(2).filter((word) => word !== "--json");

if (names.includes(name)) {
  const flags = packageFacts.config.dataPlaneFlags;
  const done = spawnSync(process.execPath, [...flags, `${folder}${name}.ts`, ...args], { stdio: "inherit" });
  process.exitCode = done.status ?? 1;
} else {
  process.stderr.write(`bench: name one of ${names.join(", ")}\n  example: npm run bench -- trunk-bulk 256\n`);
  process.exitCode = 2;
}
