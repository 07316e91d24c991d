// Code for clients in other languages, from proto/ alone with stock plugins: gen/go and gen/python. Which versions make it is
// said where the examples say what they need, examples/go/go.mod and examples/python/requirements.txt, and nowhere else. Public
// definitions (proto/third_party) are left out: the stock libraries bring them, and no program may hold them twice.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bin, cache, peerCache, root, toolEnv } from "./toolchain.mjs";

export const goExample = join(root, "examples", "go");
export const pythonExample = join(root, "examples", "python");

/** Where the plugins of the versions in go.mod are; shared by every checkout that wants the same. */
export const goPlugins = join(
  peerCache,
  `go-${createHash("sha256")
    .update(readFileSync(join(goExample, "go.sum")))
    .digest("hex")
    .slice(0, 12)}`,
);
export const goPluginNames = ["protoc-gen-go", "protoc-gen-go-grpc"];

/** "name==version" of what a Python client needs; the first one is grpcio. */
export const pythonRequirements = readFileSync(join(pythonExample, "requirements.txt"), "utf8").trim().split("\n");

function run(command, args, options) {
  const done = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${command} ${args[0]} ended with ${done.status ?? done.signal}`);
}

/** A module of its own, so that programs elsewhere can require it. */
function goModule() {
  const wanted = readFileSync(join(goExample, "go.mod"), "utf8");
  const go = /^go .+$/m.exec(wanted)?.[0];
  const lines = [...wanted.matchAll(/^\t(google\.golang\.org\/(grpc|protobuf) v\S+)$/gm)].map((match) => match[1]);
  return `// Generated from examples/go/go.mod: npm run gen.\n\nmodule weft.internal/gen\n\n${go}\n\nrequire (\n\t${lines.join("\n\t")}\n)\n`;
}

function generateGo(out) {
  const env = toolEnv();
  run(join(bin, "buf"), ["generate", "--path", "proto/weft", "--template", "buf.gen.go.yaml", "--output", out], {
    env: { ...env, PATH: [goPlugins, env.PATH].join(":") },
  });
  writeFileSync(join(out, "go", "go.mod"), goModule());
}

function generatePython(out, python) {
  const sources = readdirSync(join(root, "proto", "weft"), { recursive: true })
    .filter((file) => file.endsWith(".proto"))
    .map((file) => join("weft", file))
    .sort();
  const to = join(out, "python");
  mkdirSync(to, { recursive: true });
  const outputs = ["python", "pyi", "grpc_python"].map((plugin) => `--${plugin}_out=${to}`);
  run(python, ["-m", "grpc_tools.protoc", "-Iproto", ...outputs, ...sources]);
}

/** Languages besides TypeScript: `tool` is the outside program (scripts/peers.mjs) that makes a language's folder of gen/. */
export const clientLanguages = [
  { folder: "go", tool: "go", generate: generateGo },
  { folder: "python", tool: "python", generate: generatePython },
];

/** What scripts/peers.mjs found out about an outside program; looks when nobody has looked yet. */
export function peerFound(name) {
  const file = join(cache, "peers.json");
  const read = () => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8"))[name] : undefined);
  if (read() === undefined) run(process.execPath, [join(root, "scripts", "peers.mjs"), "--find"]);
  return read() ?? { missing: "nobody looked for it" };
}
