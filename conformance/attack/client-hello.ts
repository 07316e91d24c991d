/** TLS 1.3 ClientHellos byte by byte (RFC 8446, 4.1.2), right or wrong in any part. */

import type { Random } from "../../lib/random.ts";

export interface HelloParts {
  /** Raw bytes of the host name; no extension when absent. */
  readonly serverName?: Uint8Array;
  /** Type of the name in its list; 0 is a host name. */
  readonly nameType?: number;
  /** How often the server_name extension is there. */
  readonly nameTimes?: number;
  readonly protocols?: readonly Uint8Array[];
  readonly sessionIdBytes?: number;
  readonly suites?: readonly number[];
  readonly groups?: readonly number[];
  /** Whether there is a key share for the first group, of the right size. */
  readonly hasKeyShare?: boolean;
  /** A pre-shared key nobody gave, with a binder of so many bytes. */
  readonly pskBinderBytes?: number;
  readonly more?: readonly Uint8Array[];
  /** Bytes of one TLS record; everything in one when absent. */
  readonly recordBytes?: number;
}

const X25519 = 0x001d;
const keyShareBytes: Readonly<Record<number, number>> = { 29: 32, 23: 65, 4588: 1_216 };

function sized(bits: 8 | 16 | 24, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const size = Buffer.alloc(bits / 8);
  size.writeUIntBE(body.length, 0, bits / 8);
  return Buffer.concat([size, body]);
}

function number16(...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 2);
  values.forEach((value, at) => {
    out.writeUInt16BE(value, at * 2);
  });
  return out;
}

/** One extension; what is in it is not looked at. */
export function extension(type: number, body: Uint8Array): Buffer {
  return Buffer.concat([number16(type), sized(16, body)]);
}

function serverNames({ serverName, nameType = 0, nameTimes = 1 }: HelloParts): Buffer[] {
  if (serverName === undefined) return [];
  const one = extension(0, sized(16, Buffer.from([nameType]), sized(16, serverName)));
  return Array.from({ length: nameTimes }, () => one);
}

function preSharedKey(random: Random, binderBytes: number): Buffer {
  const identity = Buffer.concat([sized(16, random.bytes(120)), random.bytes(4)]);
  return extension(41, Buffer.concat([sized(16, identity), sized(16, sized(8, random.bytes(binderBytes)))]));
}

/** The records of one hello. */
export function clientHello(random: Random, parts: HelloParts = {}): Buffer {
  const { suites = [0x1301, 0x1302, 0x1303], groups = [X25519, 0x0017], sessionIdBytes = 32 } = parts;
  const group = groups[0] ?? X25519;
  const share = Buffer.concat([number16(group), sized(16, random.bytes(keyShareBytes[group] ?? 32))]);
  const extensions = [
    ...serverNames(parts),
    extension(43, sized(8, number16(0x0304))),
    extension(10, sized(16, number16(...groups))),
    extension(13, sized(16, number16(0x0403, 0x0807, 0x0804))),
    ...(parts.hasKeyShare === false ? [] : [extension(51, sized(16, share))]),
    ...(parts.protocols === undefined
      ? []
      : [extension(16, sized(16, ...parts.protocols.map((protocol) => sized(8, protocol))))]),
    ...(parts.more ?? []),
    // It must be the last one, and asks for the modes of its use.
    ...(parts.pskBinderBytes === undefined
      ? []
      : [extension(45, Buffer.from([1, 1])), preSharedKey(random, parts.pskBinderBytes)]),
  ];
  const body = Buffer.concat([
    number16(0x0303),
    random.bytes(32),
    sized(8, random.bytes(sessionIdBytes)),
    sized(16, number16(...suites)),
    sized(8, Buffer.from([0])),
    sized(16, ...extensions),
  ]);
  return records(Buffer.concat([Buffer.from([1]), sized(24, body)]), parts.recordBytes);
}

function records(handshake: Buffer, recordBytes: number = handshake.length): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += recordBytes)
    out.push(Buffer.from([0x16, 0x03, 0x01]), sized(16, handshake.subarray(at, at + recordBytes)));
  return Buffer.concat(out);
}
