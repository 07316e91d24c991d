/**
 * What a node remembers of the newest snapshot it ever applied, apart from the snapshot itself: its place (epoch, version),
 * a hash of its content, and the time floor. It stays when the snapshot cannot be used any more (its signing key's
 * statement has ended), so that a long outage opens no way back to an older one.
 */

import { join } from "node:path";
import { z } from "zod";
import { readFileIfAny, replaceFile } from "../lib/files.ts";

const storedMark = z.object({
  epoch: z.string().regex(/^\d{1,20}$/),
  version: z.string().regex(/^\d{1,20}$/),
  payloadHash: z.string().regex(/^([0-9a-f]{64})?$/),
  floorMs: z.number().int().nonnegative(),
});

export interface HighWater {
  readonly epoch: bigint;
  readonly version: bigint;
  /** SHA-256 of the payload in hex; empty before the first snapshot. */
  readonly payloadHash: string;
  /** Newest signed date that counted, in ms. */
  readonly floorMs: number;
}

const pathIn = (stateDir: string): string => join(stateDir, "snapshot-mark.json");

/** The mark in a state folder, or undefined when there is none. Throws when it is damaged. */
export function readHighWater(stateDir: string): HighWater | undefined {
  const stored = readFileIfAny(pathIn(stateDir));
  if (stored === undefined) return undefined;
  const { epoch, version, payloadHash, floorMs } = storedMark.parse(JSON.parse(stored.toString()));
  return { epoch: BigInt(epoch), version: BigInt(version), payloadHash, floorMs };
}

/** Keeps the mark durably. */
export function writeHighWater(stateDir: string, mark: HighWater): void {
  const { epoch, version, payloadHash, floorMs } = mark;
  const stored: z.input<typeof storedMark> = {
    epoch: String(epoch),
    version: String(version),
    payloadHash,
    floorMs: Math.floor(floorMs),
  };
  replaceFile(pathIn(stateDir), `${JSON.stringify(stored)}\n`);
}
