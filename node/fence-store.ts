/**
 * The highest fence this egress has seen of each exclusive resource (LAW-F3), on disk before anything is done under it.
 *
 * FN1. `offer` answers "raised" only when the new mark would be found after a power cut; a disk that takes nothing is a
 *      refusal.
 * FN2. A mark never goes back and is never forgotten: not at a restart, not when the resource leaves the snapshot.
 * FN3. A file that cannot be read refuses everything: what it said is not known.
 */

import { join } from "node:path";
import { z } from "zod";
import { type FenceMark, judgeMark } from "../fabric/lease.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { Listeners } from "./events.ts";
import type { Unsubscribe } from "./ports.ts";

const counter = z.string().regex(/^\d{1,20}$/);
const stored = z.record(z.string(), z.object({ epoch: counter, counter, holder: z.string() }));

export interface RaisedFence {
  readonly resourceId: string;
  readonly mark: FenceMark;
}

export interface FenceStore {
  /** The highest mark seen of a resource, or undefined. */
  highest(resourceId: string): FenceMark | undefined;
  /** Compares a fence with the highest seen; "raised" once the new one is on disk and everybody has been told. */
  offer(resourceId: string, mark: FenceMark): "accepted" | "raised" | "refused";
  /** Called before `offer` answers "raised": what runs under older fences has to end. */
  onRaise(listener: (raised: RaisedFence) => void): Unsubscribe;
}

export interface FenceStoreDeps {
  readonly stateDir: string;
  readonly log: Log;
  readonly maxCount?: number;
}

class DiskFenceStore implements FenceStore {
  readonly #path: string;
  readonly #deps: FenceStoreDeps;
  readonly #listeners: Listeners<RaisedFence>;
  /** Undefined: the file is there and cannot be read (FN3). */
  #marks: Map<string, FenceMark> | undefined;

  constructor(deps: FenceStoreDeps) {
    this.#deps = deps;
    this.#path = join(deps.stateDir, "fences.json");
    this.#listeners = new Listeners((thrown) =>
      deps.log.error("a fence listener failed", { error: messageOf(thrown) }),
    );
    try {
      this.#marks = read(this.#path);
    } catch (thrown) {
      deps.log.error("the fences this node has seen cannot be read: exclusive resources are refused", {
        error: messageOf(thrown),
      });
    }
  }

  highest(resourceId: string): FenceMark | undefined {
    return this.#marks?.get(resourceId);
  }

  offer(resourceId: string, mark: FenceMark): "accepted" | "raised" | "refused" {
    const marks = this.#marks;
    if (marks === undefined) return "refused";
    const verdict = judgeMark(marks.get(resourceId), mark);
    if (verdict !== "raise") return verdict === "accept" ? "accepted" : "refused";
    const { maxCount = limits.fencesMaxCount, log } = this.#deps;
    if (!marks.has(resourceId) && marks.size >= maxCount) {
      log.error("no room for the fence of another resource");
      return "refused";
    }
    const { epoch, counter: count, holder } = mark;
    const next = new Map(marks).set(resourceId, { epoch, counter: count, holder });
    try {
      write(this.#path, next);
    } catch (thrown) {
      log.error("a fence cannot be kept on disk", { error: messageOf(thrown) });
      return "refused";
    }
    this.#marks = next;
    this.#listeners.notify({ resourceId, mark });
    return "raised";
  }

  onRaise(listener: (raised: RaisedFence) => void): Unsubscribe {
    return this.#listeners.add(listener);
  }
}

function read(path: string): Map<string, FenceMark> {
  const file = readFileIfAny(path);
  if (file === undefined) return new Map();
  const entries = Object.entries(stored.parse(JSON.parse(file.toString())));
  return new Map(
    entries.map(([id, each]) => [
      id,
      { epoch: BigInt(each.epoch), counter: BigInt(each.counter), holder: each.holder },
    ]),
  );
}

function write(path: string, marks: ReadonlyMap<string, FenceMark>): void {
  const rows: z.input<typeof stored> = Object.fromEntries(
    [...marks].map(([id, { epoch, counter: count, holder }]) => [
      id,
      { epoch: String(epoch), counter: String(count), holder },
    ]),
  );
  replaceFile(path, `${JSON.stringify(rows)}\n`);
}

/** Opens the store with what the state folder keeps. */
export function openFenceStore(deps: FenceStoreDeps): FenceStore {
  return new DiskFenceStore(deps);
}
