/** Randomness, behind a port: `systemRandom` for the product, `seededRandom` for tests and simulations. */

import { randomBytes } from "node:crypto";

export interface Random {
  /** `count` fresh bytes. */
  bytes(count: number): Uint8Array;
  /** A number in [0, 1). Never for secrets. */
  float(): number;
}

/** Asking the system costs as much for a thousand bytes as for ten. */
const POOL_BYTES = 4_096;
const SMALL_BYTES = 64;
let pool = Buffer.alloc(0);
let poolUsed = 0;

/** A few bytes that nobody else was given or will be given, and that the pool does not keep. */
function pooledBytes(count: number): Uint8Array {
  if (poolUsed + count > pool.length) {
    pool = randomBytes(POOL_BYTES);
    poolUsed = 0;
  }
  const from = poolUsed;
  poolUsed += count;
  const bytes = Uint8Array.prototype.slice.call(pool, from, poolUsed);
  pool.fill(0, from, poolUsed);
  return bytes;
}

export const systemRandom: Random = {
  bytes: (count) => (count <= SMALL_BYTES ? pooledBytes(count) : randomBytes(count)),
  float: () => Math.random(),
};

/** A deterministic generator (mulberry32). For tests and simulations only: never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    float,
    bytes(count) {
      const out = new Uint8Array(count);
      for (let i = 0; i < count; i++) out[i] = Math.floor(float() * 256);
      return out;
    },
  };
}

/** An integer in [0, bound). */
export function randomInt(random: Random, bound: number): number {
  return Math.floor(random.float() * bound);
}

/** The same items in an order of no meaning (Fisher and Yates). */
export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let at = out.length - 1; at > 0; at -= 1) {
    const other = randomInt(random, at + 1);
    [out[at], out[other]] = [out[other] as T, out[at] as T];
  }
  return out;
}

const LABEL_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/**
 * A random lower-case base32 label of `length` characters (5 bits each), valid as a DNS label and in a SPIFFE path.
 * 16 characters = 80 bits (ids), 26 = 130 bits (names that must not be guessed).
 */
export function randomLabel(random: Random, length: number): string {
  let out = "";
  for (const byte of random.bytes(length)) out += LABEL_ALPHABET[byte & 31];
  return out;
}
