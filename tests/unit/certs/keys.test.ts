import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  generateEd25519,
  generateP256,
  keyPairFromPem,
  p256FromSpki,
  privateKeyPem,
  sameBytes,
  signEd25519,
  signEs256,
  verifyEd25519,
  verifyEs256,
} from "../../../certs/keys.ts";
import {
  createSecretFile,
  handedProblem,
  readHandedSecret,
  readPrivateKeyFile,
  readSecretFile,
  writePrivateKeyFile,
  writeSecretFile,
} from "../../../certs/secret-file.ts";

const directory = mkdtempSync(join(tmpdir(), "weft-keys-"));
afterAll(() => rmSync(directory, { recursive: true }));
const data = Buffer.from("what is signed");

describe("signatures", () => {
  it("ES256 is r || s, and every wrong input is false, not an exception", () => {
    const keys = generateP256();
    const signature = signEs256(keys.privateKey, data);
    expect(signature.length).toBe(64);
    expect(verifyEs256(keys.publicKey, data, signature)).toBe(true);
    expect(verifyEs256(generateP256().publicKey, data, signature)).toBe(false);
    expect(verifyEs256(keys.publicKey, Buffer.from("other"), signature)).toBe(false);
    expect(verifyEs256(generateEd25519().publicKey, data, signature)).toBe(false);
    for (const size of [0, 31, 33, 63, 65]) {
      expect(verifyEs256(keys.publicKey, data, new Uint8Array(size))).toBe(false);
      expect(verifyEd25519(generateEd25519().publicKey, data, new Uint8Array(size))).toBe(false);
    }
    expect(verifyEs256(keys.publicKey, data, new Uint8Array(64))).toBe(false);
  });

  it("Ed25519 likewise", () => {
    const keys = generateEd25519();
    const signature = signEd25519(keys.privateKey, data);
    expect(verifyEd25519(keys.publicKey, data, signature)).toBe(true);
    expect(verifyEd25519(generateP256().publicKey, data, signature)).toBe(false);
    expect(verifyEd25519(generateEd25519().publicKey, data, signature)).toBe(false);
  });

  it("a P-256 key has one spelling, and a point off the curve none", () => {
    const { spkiDer } = generateP256();
    expect(p256FromSpki(spkiDer)).toBeDefined();
    const off = Uint8Array.from(spkiDer);
    off[90] = (off[90] ?? 0) ^ 1;
    expect(p256FromSpki(off)).toBeUndefined();
    expect(p256FromSpki(Buffer.concat([spkiDer, Buffer.of(0)]))).toBeUndefined();
    expect(p256FromSpki(spkiDer.subarray(0, 90))).toBeUndefined();
    expect(p256FromSpki(generateEd25519().spkiDer)).toBeUndefined();
  });

  it("comparing different lengths is false, not an exception", () => {
    expect(sameBytes(new Uint8Array(3), new Uint8Array(4))).toBe(false);
    expect(sameBytes(Buffer.of(1, 2), Buffer.of(1, 2))).toBe(true);
    expect(sameBytes(Buffer.of(1, 2), Buffer.of(1, 3))).toBe(false);
  });
});

describe("secret files", () => {
  it("LAW-I1 a private key file is 0600, whole, and replaced without leftovers", () => {
    const path = join(directory, "key.pem");
    const [first, second] = [generateP256(), generateP256()];
    writePrivateKeyFile(path, first.privateKey);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(readPrivateKeyFile(path).keyHash).toBe(first.keyHash);
    writePrivateKeyFile(path, second.privateKey);
    expect(readPrivateKeyFile(path).keyHash).toBe(second.keyHash);
    expect(readdirSync(directory)).toEqual(["key.pem"]);
    expect(keyPairFromPem(privateKeyPem(second.privateKey)).keyHash).toBe(second.keyHash);
  });

  it.each([0o644, 0o640, 0o660, 0o604, 0o700, 0o400])("LAW-I1 a key file of mode %o is refused", (mode) => {
    const path = join(directory, `mode-${mode}`);
    writeSecretFile(path, "secret");
    chmodSync(path, mode);
    expect(() => readSecretFile(path)).toThrow(expect.objectContaining({ detail: "KEY_FILE_UNSAFE" }));
    chmodSync(path, 0o600);
    expect(readSecretFile(path)).toBe("secret");
  });

  it("LAW-I1 a secret that is handed over may be read-only, and root's, and nothing else that is open to others", () => {
    const [me, other] = [1_000, 1_001];
    const verdict = (mode: number, uid: number, gid: number): string | undefined =>
      handedProblem({ mode, uid, gid }, me);
    expect(verdict(0o100600, me, me)).toBeUndefined();
    expect(verdict(0o100400, me, me)).toBeUndefined();
    expect(verdict(0o100400, 0, 0)).toBeUndefined();
    expect(verdict(0o100440, 0, 0)).toBeUndefined();
    for (const open of [0o644, 0o640, 0o660, 0o604, 0o700, 0o444, 0o404, 0o460]) {
      for (const uid of [me, 0, other])
        expect(verdict(0o100000 | open, uid, 0), `${open} ${uid}`).toMatch(/mode is not/);
    }
    expect(verdict(0o100440, me, 0)).toMatch(/mode/);
    expect(verdict(0o100440, 0, other)).toMatch(/mode/);
    expect(verdict(0o100400, other, 0)).toMatch(/mode/);
    expect(verdict(0o100600, other, 0)).toMatch(/another user/);
    expect(verdict(0o100600, 0, 0)).toMatch(/another user/);
    const path = join(directory, "handed");
    writeSecretFile(path, "secret");
    chmodSync(path, 0o400);
    expect(readHandedSecret(path)).toBe("secret");
    expect(() => readSecretFile(path)).toThrow(expect.objectContaining({ detail: "KEY_FILE_UNSAFE" }));
    chmodSync(path, 0o604);
    expect(() => readHandedSecret(path)).toThrow(expect.objectContaining({ detail: "KEY_FILE_UNSAFE" }));
  });

  it("links, directories, giants and missing files are refused", () => {
    const target = join(directory, "target");
    writeSecretFile(target, "secret");
    symlinkSync(target, join(directory, "link"));
    const unsafe = expect.objectContaining({ detail: "KEY_FILE_UNSAFE" });
    expect(() => readSecretFile(join(directory, "link"))).toThrow(unsafe);
    expect(() => readSecretFile(directory)).toThrow(unsafe);
    writeFileSync(join(directory, "giant"), "x".repeat(100_000), { mode: 0o600 });
    expect(() => readSecretFile(join(directory, "giant"))).toThrow(unsafe);
    expect(() => readSecretFile(join(directory, "none"))).toThrow(
      expect.objectContaining({ detail: "KEY_FILE_MISSING" }),
    );
  });

  it("creating is once", () => {
    const path = join(directory, "once");
    createSecretFile(path, "first");
    expect(() => createSecretFile(path, "second")).toThrow(expect.objectContaining({ detail: "KEY_FILE_EXISTS" }));
    expect(readFileSync(path, "utf8")).toBe("first");
    expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });
});
