/**
 * Bugs planted by hand, as edits of the product's source text that are made while it is loaded (`planted-hook.ts`): the files
 * stay as they are, and nothing in the product knows of it. Each text must occur exactly once, or the plant fails.
 */

export interface Planted {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export const plantedBugs: readonly Planted[] = [
  {
    name: "continues with the next number instead of rewinding to the first unacknowledged one",
    file: "fabric/trunk/replay.ts",
    from: "    this.#cursorSeq = this.firstUnackedSeq;\n",
    to: "",
  },
  {
    name: "a tie of moves goes to the acceptor",
    file: "fabric/trunk/trunk.ts",
    from: 'generation === lane.generation && this.side === "acceptor"',
    to: 'generation === lane.generation && this.side === "initiator"',
  },
  {
    name: "neither edge gives way in a tie",
    file: "fabric/trunk/trunk.ts",
    from: 'generation > lane.generation || (generation === lane.generation && this.side === "acceptor")',
    to: "generation > lane.generation",
  },
  {
    name: "silence destroys without a witness",
    file: "fabric/trunk/detector.ts",
    from: "    if (witnessed) this.#dead.set",
    to: "    if (nowMs >= 0) this.#dead.set",
  },
  {
    name: "answers to pings from before the silence count",
    file: "fabric/trunk/targets.ts",
    from: "answered < wish.answeredSinceMs",
    to: "answered < 0",
  },
  {
    name: "a path is dead as soon as another one answers, however little later this one would have",
    file: "fabric/trunk/detector.ts",
    from: "before < sinceMs) this.#witnessedSinceMs.set(key, nowMs);",
    to: "before < sinceMs) return true;",
  },
  {
    name: "the replay is trimmed at the position the peer states, beyond its acks",
    file: "fabric/trunk/trunk.ts",
    from: "lane.acked(attach.nextExpectedSeq, nowMs, true)",
    to: "lane.acked(lane.replay.nextSeq - (lane.replay.waiting ? 1 : 0), nowMs, true)",
  },
  {
    name: "the expected number in an Attach is one too high",
    file: "fabric/trunk/attach-signer.ts",
    from: "nextExpectedSeq: lane.expectedSeq,",
    to: "nextExpectedSeq: lane.expectedSeq > 1 ? lane.expectedSeq + 1 : 1,",
  },
  {
    name: "an attachment counts as ready before the peer's Attach",
    file: "fabric/trunk/attachments.ts",
    from: 'phase: AttachmentPhase = "attaching";',
    to: 'phase: AttachmentPhase = "ready";',
  },
  {
    name: "the follower of a move answers with a move",
    file: "fabric/trunk/trunk.ts",
    from: 'this.#moveTo(lane, attachment, generation, "peer", false, nowMs);',
    to: 'this.#moveTo(lane, attachment, generation + 1, "peer", true, nowMs);',
  },
  {
    name: "spares beyond the first are kept",
    file: "fabric/trunk/keeper.ts",
    from: "return [...sorted.slice(1), ...refused]",
    to: "return [...refused]",
  },
  {
    name: "a path that is left is given up while it still carries a lane",
    file: "fabric/trunk/keeper.ts",
    from: "if (leaving === undefined || this.#carriesActive(path)) return undefined;",
    to: "if (leaving === undefined) return undefined;",
  },
];
