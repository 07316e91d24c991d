/**
 * A far edge that speaks the protocol and abuses it: the production trunk behind streams whose unsequenced messages can be
 * left out or added at will.
 */

import { AttachmentStream } from "../../edge/attachment.ts";
import type { AcceptedPath } from "../../edge/edge-path.ts";
import { PathConnection } from "../../edge/path-connection.ts";
import { acceptChannel } from "../../fabric/trunk/channel-ops.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import { decodeMessage } from "../../fabric/trunk/decode.ts";
import { encodeMessage } from "../../fabric/trunk/encode.ts";
import { GrpcDeframer } from "../../fabric/trunk/grpc-frames.ts";
import { laneOfWire } from "../../fabric/trunk/lane-name.ts";
import type { Message } from "../../fabric/trunk/messages.ts";
import { Trunk } from "../../fabric/trunk/trunk.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";

export interface HostileFarOptions {
  /** What leaves instead of an unsequenced message. Default: itself. */
  readonly says?: (message: Message) => readonly Message[];
}

/** Takes over the paths of `listenForPaths`, all for one trunk. */
export class HostileFarEdge {
  readonly #options: HostileFarOptions;
  readonly #streams = new Map<number, AttachmentStream>();
  readonly #said = new Map<number, Buffer[]>();
  #lastId = 0;
  /** The newest trunk. */
  trunk: Trunk | undefined;
  paths = 0;

  constructor(options: HostileFarOptions = {}) {
    this.#options = options;
  }

  add(path: AcceptedPath<string>): void {
    this.paths += 1;
    const connection = PathConnection.server(path, systemClock, (http2Stream) => {
      const stream = new AttachmentStream(http2Stream, {
        pullControl: () => undefined,
        pullBatch: () => undefined,
        batchWritten: () => {},
        lost: () => {},
        message: (bytes) => this.#attach(connection, stream, bytes),
      });
    });
  }

  /** Writes a message of its own on every stream there is. */
  say(message: Message): void {
    for (const [id, stream] of this.#streams) {
      this.#said.set(id, [...(this.#said.get(id) ?? []), encodeMessage(message)]);
      stream.wake();
    }
  }

  #attach(connection: PathConnection, stream: AttachmentStream, bytes: Buffer): void {
    const message = decodeMessage(bytes);
    if (message.kind !== "attach") return void stream.destroy();
    const { attach } = message;
    const lane = laneOfWire(attach.lane) ?? "bulk";
    this.#lastId += 1;
    const id = this.#lastId;
    this.trunk ??= this.#make(attach.trunkId, connection.exporter);
    const { trunk } = this;
    const added = { id, lane, connectionId: connection.id, exporter: connection.exporter };
    this.#streams.set(id, stream);
    if (!trunk.acceptAttachment(added, attach, systemClock.monoMs())) return void stream.destroy();
    stream.owner = {
      pullControl: () => this.#control(id, trunk.pullControl(id, systemClock.monoMs())),
      pullBatch: () => trunk.pullBatch(id, systemClock.monoMs()),
      batchWritten: () => trunk.batchWritten(id),
      message: (arrived) => trunk.receive(id, arrived, systemClock.monoMs()),
      lost: () => {
        this.#streams.delete(id);
        trunk.attachmentLost(id, systemClock.monoMs());
      },
    };
    stream.wake();
  }

  #control(id: number, control: Buffer | undefined): Buffer | undefined {
    const own = this.#said.get(id) ?? [];
    this.#said.delete(id);
    const filtered = this.#filtered(control);
    const all = filtered === undefined ? own : [filtered, ...own];
    return all.length === 0 ? undefined : Buffer.concat(all);
  }

  #filtered(control: Buffer | undefined): Buffer | undefined {
    const { says } = this.#options;
    if (control === undefined || says === undefined) return control;
    const out: Buffer[] = [];
    const deframer = new GrpcDeframer(limits.batchMaxBytes, (bytes) => {
      for (const message of says(decodeMessage(bytes) as Message)) out.push(encodeMessage(message));
    });
    deframer.push(control);
    return out.length === 0 ? undefined : Buffer.concat(out);
  }

  #make(trunkId: Uint8Array, secret: Uint8Array): Trunk {
    const trunk: Trunk = new Trunk({
      side: "acceptor",
      trunkId: Buffer.from(trunkId),
      secret,
      processPool: new CreditPool(limits.processReceivePoolBytes),
      events: {
        wake: (id) => this.#streams.get(id)?.wake(),
        attachmentReady: () => {},
        attachmentRefused: () => {},
        offered: (channel) => {
          acceptChannel(trunk, channel);
        },
        moved: () => {},
        resumed: () => {},
        noticed: () => {},
        ended: () => {
          for (const stream of this.#streams.values()) stream.end();
        },
      },
    });
    return trunk;
  }
}
