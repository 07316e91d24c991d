/**
 * Eyes inside production objects, from outside: trunks are found and their moves heard, connections are made of simulated
 * ends, verdicts of detectors are overheard. Nothing is changed in what they do.
 */

import { PathConnection } from "../../edge/path-connection.ts";
import { Detector, type Verdict } from "../../fabric/trunk/detector.ts";
import type { TrunkMove } from "../../fabric/trunk/move.ts";
import { Trunk } from "../../fabric/trunk/trunk.ts";
import type { TrunkEnd } from "../../fabric/trunk/trunk-core.ts";
import type { ConnectionEnd, EndPath, SimStream } from "./connection.ts";

export interface Watcher {
  trunk(trunk: Trunk): void;
  moved(trunk: Trunk, move: TrunkMove, generationBefore: number): void;
  ended(trunk: Trunk, end: TrunkEnd): void;
  verdict(verdict: Verdict): void;
}

let watcher: Watcher | undefined;
let installed = false;
const seen = new WeakSet<Trunk>();

/** Whoever is told from now on. */
export function watch(next: Watcher | undefined): void {
  if (!installed) install();
  installed = true;
  watcher = next;
}

function see(trunk: Trunk): void {
  if (seen.has(trunk)) return;
  seen.add(trunk);
  const events = trunk.events as { -readonly [K in keyof Trunk["events"]]: Trunk["events"][K] };
  const { moved, ended } = events;
  const generations = { interactive: 0, bulk: 0 };
  events.moved = (move) => {
    watcher?.moved(trunk, move, generations[move.lane]);
    generations[move.lane] = move.generation;
    moved(move);
  };
  events.ended = (end) => {
    watcher?.ended(trunk, end);
    ended(end);
  };
  watcher?.trunk(trunk);
}

function install(): void {
  const { offerAttachment, acceptAttachment } = Trunk.prototype;
  Trunk.prototype.offerAttachment = function (...args) {
    see(this);
    offerAttachment.apply(this, args);
  };
  Trunk.prototype.acceptAttachment = function (...args) {
    see(this);
    return acceptAttachment.apply(this, args);
  };
  const { look } = Detector.prototype;
  Detector.prototype.look = function (...args) {
    const verdict = look.apply(this, args);
    watcher?.verdict(verdict);
    return verdict;
  };
  const endOf = (path: unknown): ConnectionEnd => (path as EndPath).end as ConnectionEnd;
  PathConnection.client = (path) => endOf(path) as unknown as PathConnection;
  PathConnection.server = (path, _clock, onStream) => {
    const end = endOf(path);
    end.onStream = onStream as unknown as (stream: SimStream) => void;
    return end as unknown as PathConnection;
  };
}
