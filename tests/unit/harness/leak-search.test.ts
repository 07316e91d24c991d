/** A search that finds nothing proves nothing unless it would find something: every kind of leak, planted. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeJoinToken } from "../../../certs/join-token.ts";
import { generateEd25519, generateP256, privateKeyPem } from "../../../certs/keys.ts";
import { createSealingKeyFile } from "../../../certs/seal.ts";
import { seededRandom } from "../../../lib/random.ts";
import { anySecret, leaksIn, secretsInFile } from "../../harness/leak-search.ts";
import { leaksBelow, leaksOfProcesses } from "../../harness/left-behind.ts";
import { ProcessSampler } from "../../harness/process-sampler.ts";

const pem = privateKeyPem(generateP256().privateKey);
const der = generateP256().privateKey.export({ type: "pkcs8", format: "der" });
const edDer = generateEd25519().privateKey.export({ type: "pkcs8", format: "der" });
const about = { clusterSlug: "default", tokenId: "tk-1", installationKeyHash: "ab".repeat(32) };
const { text: token, token: parts } = makeJoinToken(seededRandom(4), about);
const password = "kJ3hP0vQz8sT1rW5nB7m";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-leaks-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const filler = Buffer.alloc(100_000, "all is well; ");
const amid = (secret: string | Uint8Array): Buffer => Buffer.concat([filler, Buffer.from(secret), filler]);

describe("LAW-I1 LAW-I2 THR-C16 REVIEW-25 a secret of any installation is found", () => {
  it.each<[string, string | Uint8Array]>([
    ["a key as PEM in a log", pem],
    ["a key as PEM in a field of a JSON log", JSON.stringify({ error: pem })],
    ["a key in a table, as bytes", der],
    ["a key in a dump, as hex", `\\x${der.toString("hex")}`],
    ["a key in a dump, as upper-case hex", der.toString("hex").toUpperCase()],
    ["a key in a report, as base64", der.toString("base64")],
    ["another kind of key, as bytes", edDer],
    ["another kind of key, as base64url", edDer.toString("base64url")],
    ["a join token", JSON.stringify({ argv: ["--token", token] })],
    ["a sealing key's file", `weft-sealing-key-v1:${"A".repeat(43)}`],
  ])("%s", (_what, secret) => {
    writeFileSync(join(folder, "left.bin"), amid(secret));
    expect(leaksBelow(folder).length).toBeGreaterThan(0);
  });

  it("and what only speaks of secrets is none", () => {
    const talk =
      "-----BEGIN PRIVATE KEY----- goes into a file; tokens begin with weft1. and sealing keys with weft-sealing-key-v1:";
    expect(leaksIn("a document", amid(talk), anySecret)).toEqual([]);
  });
});

describe("a secret that is kept in the folder is found beside it", () => {
  beforeEach(() => {
    mkdirSync(join(folder, "keys"));
    mkdirSync(join(folder, "logs"));
  });

  const log = (text: string | Uint8Array): void => writeFileSync(join(folder, "logs", "control.log"), amid(text));

  it.each<[string, (key: Buffer) => string | Uint8Array]>([
    ["as it is in its file", (key) => key.toString("base64url")],
    ["as bytes", (key) => key],
    ["as hex", (key) => key.toString("hex")],
    ["as base64", (key) => key.toString("base64")],
  ])("a sealing key, %s", (_how, spelled) => {
    const file = join(folder, "keys", "sealing.key");
    createSealingKeyFile(file);
    log("nothing");
    expect(leaksBelow(folder)).toEqual([]);
    const [known] = secretsInFile("it", `weft-sealing-key-v1:${Buffer.alloc(32, 7).toString("base64url")}`);
    expect(known?.bytes.toString()).toBe(Buffer.alloc(32, 7).toString("base64url"));
    writeFileSync(file, `weft-sealing-key-v1:${Buffer.alloc(32, 7).toString("base64url")}\n`, { mode: 0o600 });
    log(spelled(Buffer.alloc(32, 7)));
    expect(leaksBelow(folder).map(({ where }) => where)).toContain(join(folder, "logs", "control.log"));
  });

  it("the password of a store's URL", () => {
    writeFileSync(join(folder, "keys", "postgres.url"), `postgres://weft:${password}@127.0.0.1:5432/x\n`, {
      mode: 0o600,
    });
    log(`could not connect to postgres://weft:${password}@127.0.0.1`);
    expect(leaksBelow(folder).map(({ secret }) => secret)).toEqual(["the password in postgres.url"]);
  });

  it("the secret of a token that was used up, in hex", () => {
    log(Buffer.from(parts.secret).toString("hex"));
    expect(leaksBelow(folder)).toEqual([]);
    expect(leaksBelow(folder, 0, secretsInFile("a token", token)).length).toBe(1);
  });

  it("a key in a file that others may read", () => {
    writeFileSync(join(folder, "keys", "operator.key"), pem, { mode: 0o644 });
    writeFileSync(join(folder, "keys", "mine.key"), pem, { mode: 0o600 });
    const found = leaksBelow(folder);
    expect(found.map(({ secret }) => secret)).toContain("a private key (PEM)");
    expect(new Set(found.map(({ where }) => where))).toEqual(new Set([join(folder, "keys", "operator.key")]));
  });
});

it("a secret in the arguments or the environment of a process is found, while it runs and after", async () => {
  // Of this test alone: what the run looks at must not find what is planted here.
  const mark = `PLANTED=${folder.slice(-6)}`;
  const sampler = new ProcessSampler(mark);
  const code = "process.stdout.write('up'); process.stdin.resume()";
  const child = spawn(process.execPath, ["-e", code, token], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { PLANTED: folder.slice(-6), DATABASE_PASSWORD: password },
  });
  await once(child.stdout, "data");
  const secrets = secretsInFile("the URL", `postgres://weft:${password}@host/x`);
  const found = leaksOfProcesses([{ name: "it", pid: child.pid ?? 0 }], secrets);
  const seen = sampler.stop();
  child.stdin.end();
  await once(child, "close");
  expect(found.map(({ secret, where }) => [secret, where])).toEqual([
    ["a join token", "cmdline of it"],
    ["the password in the URL", "environ of it"],
  ]);
  const later = leaksIn("processes", seen, [...anySecret, ...secrets]).map(({ secret }) => secret);
  expect(later).toEqual(["a join token", "the password in the URL"]);
});
