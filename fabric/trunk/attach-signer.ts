/** Writes and checks the Attach messages of one trunk. */

import type { SignedAsk } from "../path/ask.ts";
import type { Side } from "./attach-proof.ts";
import { attachProof, provesAttach } from "./attach-proof.ts";
import { encodeMessage } from "./encode.ts";
import type { Lane } from "./lane.ts";
import type { Attach } from "./messages.ts";
import type { TrunkOptions } from "./trunk-core.ts";

const nothing: SignedAsk = { ask: new Uint8Array(0), signature: new Uint8Array(0) };

/** One move each microsecond for nine years; from a generation near 2^53 nobody could count on. */
export const GENERATION_MAX = 2 ** 48;

export class AttachSigner {
  readonly #options: TrunkOptions;

  constructor(options: TrunkOptions) {
    this.#options = options;
  }

  /** The Attach for one lane on the connection with this exporter, encoded. Client edges show the ask of its path. */
  sign(lane: Lane, exporter: Uint8Array, shown: SignedAsk = nothing): Buffer {
    const { trunkId, secret, side } = this.#options;
    const unproved = {
      trunkId,
      lane: lane.wire,
      generation: lane.generation,
      nextExpectedSeq: lane.expectedSeq,
      ask: shown.ask,
      askSignature: shown.signature,
    };
    return encodeMessage({
      kind: "attach",
      attach: { ...unproved, proof: attachProof(secret, side, exporter, unproved) },
    });
  }

  /** Whether the far end of this trunk wrote `attach` for this lane on the connection with this exporter. */
  verifies(attach: Attach, lane: Lane, exporter: Uint8Array): boolean {
    const { trunkId, secret, side } = this.#options;
    const from: Side = side === "initiator" ? "acceptor" : "initiator";
    return (
      attach.lane === lane.wire &&
      attach.generation <= GENERATION_MAX &&
      Buffer.compare(attach.trunkId, trunkId) === 0 &&
      provesAttach(secret, from, exporter, attach)
    );
  }
}
