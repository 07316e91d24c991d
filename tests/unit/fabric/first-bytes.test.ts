import { Duplex } from "node:stream";
import { connect } from "node:tls";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseClientHello } from "../../../fabric/client-hello.ts";
import { decodeFirstBytes, encodeLegPreamble, encodeReversePreamble } from "../../../fabric/preamble.ts";
import {
  clientServerName,
  controlServerName,
  isNodeName,
  joinServerName,
  linkServerName,
  nodeServerName,
  parseServerName,
} from "../../../fabric/server-names.ts";
import { limits } from "../../../lib/limits.ts";
import { runs } from "../../harness/counts.ts";

/** The real first flight of Node's TLS client. */
async function realHello(servername: string | undefined, ecdhCurve: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      resolve(Buffer.from(chunk));
      done();
    },
  });
  const tls = connect({
    socket,
    ecdhCurve,
    minVersion: "TLSv1.3",
    ...(servername === undefined ? {} : { servername }),
  });
  tls.on("error", () => {});
  const hello = await promise;
  tls.destroy();
  return hello;
}

/** The same handshake bytes cut into records of at most `sizeBytes`. */
function recut(hello: Buffer, sizeBytes: number): Buffer {
  const handshake = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += sizeBytes) {
    const part = handshake.subarray(at, at + sizeBytes);
    records.push(Buffer.from([0x16, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

describe("LAW-R3 the first bytes of a connection are judged within a bound", () => {
  it("a leg preamble decodes at its 37th byte, not before, and keeps what follows out", () => {
    const token = Uint8Array.from({ length: 32 }, (_, i) => i);
    const bytes = Buffer.concat([encodeLegPreamble(token), Buffer.from("rest")]);
    for (let n = 0; n < 37; n++) expect(decodeFirstBytes(bytes.subarray(0, n)).kind).toBe("more");
    expect(decodeFirstBytes(bytes)).toEqual({ kind: "leg", token, restOffset: 37 });
    expect(() => encodeLegPreamble(token.subarray(1))).toThrow(/32 bytes/);
  });

  it("a reverse preamble decodes at its fifth byte", () => {
    const bytes = encodeReversePreamble();
    expect(bytes.length).toBe(5);
    for (let n = 0; n < 5; n++) expect(decodeFirstBytes(bytes.subarray(0, n)).kind).toBe("more");
    expect(decodeFirstBytes(bytes)).toEqual({ kind: "reverse", restOffset: 5 });
  });

  it("any single wrong byte of the magic or tag is garbage as soon as it is there", () => {
    const bytes = encodeLegPreamble(new Uint8Array(32));
    for (let i = 0; i < 5; i++) {
      const wrong = Uint8Array.from(bytes);
      wrong[i] = 0x7f;
      expect(decodeFirstBytes(wrong.subarray(0, i + 1)).kind, `byte ${i}`).toBe("garbage");
    }
    expect(decodeFirstBytes(Uint8Array.of(0x16, 0x02)).kind).toBe("garbage");
    expect(decodeFirstBytes(Buffer.from("GET / HTTP/1.1")).kind).toBe("garbage");
  });
});

describe("LAW-R3 a ClientHello is read without TLS", () => {
  it("finds the server name of a post-quantum hello, which spans more than one segment, at every cut", async () => {
    const name = `link-${"a".repeat(26)}.default.weft.internal`;
    const hello = await realHello(name, "X25519MLKEM768");
    expect(hello.length).toBeGreaterThan(1_400);
    expect(parseClientHello(hello)).toEqual({ kind: "hello", serverName: name });
    for (let n = 0; n < hello.length; n += 1) expect(parseClientHello(hello.subarray(0, n)).kind).toBe("more");
    expect(decodeFirstBytes(hello).kind).toBe("tls");
  });

  it.each([130, 300, 1_000])("reassembles a hello cut into records of %i bytes", async (sizeBytes) => {
    const hello = recut(await realHello("client.default.weft.internal", "X25519MLKEM768"), sizeBytes);
    expect(parseClientHello(hello)).toEqual({ kind: "hello", serverName: "client.default.weft.internal" });
    expect(parseClientHello(hello.subarray(0, -1)).kind).toBe("more");
  });

  it("a hello in more records than any client makes is garbage, so that reading it again stays cheap", async () => {
    expect(parseClientHello(recut(await realHello("client.default.weft.internal", "X25519"), 1)).kind).toBe("garbage");
  });

  it("a token is a copy: what arrives later cannot change it", () => {
    const bytes = Buffer.from(encodeLegPreamble(new Uint8Array(32).fill(7)));
    const decoded = decodeFirstBytes(bytes);
    bytes.fill(0);
    expect(decoded).toMatchObject({ kind: "leg", token: new Uint8Array(32).fill(7) });
  });

  it("a hello without a name is a hello", async () => {
    expect(parseClientHello(await realHello(undefined, "X25519"))).toEqual({ kind: "hello" });
  });

  it("two server names, an empty one and one with odd bytes are garbage", async () => {
    const hello = await realHello("aaaa.example", "X25519");
    const at = hello.indexOf("aaaa.example");
    const odd = Buffer.from(hello);
    odd[at] = 0;
    expect(parseClientHello(odd).kind).toBe("garbage");
    const extension = Buffer.from(hello.subarray(at - 9, at + 12));
    const doubled = Buffer.concat([hello.subarray(0, at - 9), extension, hello.subarray(at - 9)]);
    addToLength(doubled, 3, 2, extension.length);
    addToLength(doubled, 6, 3, extension.length);
    addToLength(doubled, extensionsOffset(hello), 2, extension.length);
    expect(parseClientHello(doubled).kind).toBe("garbage");
  });

  it("a hello that announces more than the peek may hold is garbage at once", () => {
    const announced = limits.peekMaxBytes;
    const start = Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0, announced >> 8, announced & 255]);
    expect(parseClientHello(start).kind).toBe("garbage");
  });

  it("never throws, and never changes a verdict but from more, on hostile bytes", async () => {
    const hello = await realHello("client.default.weft.internal", "X25519MLKEM768");
    const mutation = fc.tuple(fc.nat(hello.length - 1), fc.nat(255));
    const property = fc.property(
      fc.array(mutation, { minLength: 1, maxLength: 12 }),
      fc.nat(hello.length),
      (edits, cut) => {
        const bytes = Buffer.from(hello);
        for (const [at, value] of edits) bytes[at] = value;
        const early = parseClientHello(bytes.subarray(0, cut));
        const late = parseClientHello(bytes);
        if (early.kind !== "more") expect(late).toEqual(early);
      },
    );
    fc.assert(property, { numRuns: runs(2_000, 200_000) });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        parseClientHello(bytes);
        decodeFirstBytes(bytes);
        parseClientHello(Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 252]), bytes]));
      }),
      { numRuns: runs(2_000, 200_000) },
    );
  });
});

function addToLength(bytes: Buffer, at: number, sizeBytes: number, more: number): void {
  bytes.writeUIntBE(bytes.readUIntBE(at, sizeBytes) + more, at, sizeBytes);
}

/** Where the length of all extensions stands: after version, random, session, suites and compressions. */
function extensionsOffset(hello: Buffer): number {
  let at = 5 + 4 + 2 + 32;
  at += 1 + (hello[at] ?? 0);
  at += 2 + hello.readUInt16BE(at);
  return at + 1 + (hello[at] ?? 0);
}

describe("server names", () => {
  const label = `link-${"b".repeat(26)}`;

  it("building and parsing are inverse", () => {
    expect(parseServerName(linkServerName(label, "default"))).toEqual({ kind: "link", label, slug: "default" });
    expect(parseServerName(clientServerName("a-1"))).toEqual({ kind: "client", slug: "a-1" });
    expect(parseServerName(joinServerName("a"))).toEqual({ kind: "join", slug: "a" });
    expect(parseServerName(controlServerName("a"))).toEqual({ kind: "control", slug: "a" });
    expect(parseServerName(nodeServerName("relay-1", "a"))).toEqual({ kind: "node", name: "relay-1", slug: "a" });
    expect(parseServerName("CLIENT.Default.weft.internal")).toEqual({ kind: "client", slug: "default" });
  });

  it.each([
    "",
    ".weft.internal",
    "weft.internal",
    "client.weft.internal",
    "a.b.c.weft.internal",
    "client.a.weft.internal.",
    "-x.a.weft.internal",
    "link-short.a.weft.internal",
    "client.a.weft.internal.evil",
  ])("%j is none of ours", (text) => expect(parseServerName(text)).toBeUndefined());

  it("a node cannot take a name that means something else", () => {
    for (const name of ["client", "join", "control", label, "link-x", "A", "a.b", "", "a".repeat(64)]) {
      expect(isNodeName(name), name).toBe(false);
      expect(() => nodeServerName(name, "default")).toThrow(/server name/);
    }
  });

  it("parsing is total", () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseServerName(`${text}.weft.internal`)));
  });
});
