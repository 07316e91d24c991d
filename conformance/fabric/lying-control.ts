/**
 * A replica of control in somebody else's hands: it has a certificate that nodes believe, and says in the stream of snapshots
 * and feeds whatever it is given. What else nodes ask of control it does not know.
 */

import { createSecureServer, type Http2Session } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { rootsOf } from "../../certs/bundle.ts";
import { tlsOptions } from "../../certs/tls-options.ts";
import { ControlService, type WatchSnapshotResponse } from "../../gen/weft/control/v1/control_pb.ts";
import type { NodeIdentity } from "../../node/ports.ts";
import type { StolenKeys } from "./stolen-keys.ts";

export type Lie = Pick<WatchSnapshotResponse, "message">;

export interface LyingControl {
  readonly port: number;
  /** Says it to every node that watches. */
  say(lie: Lie): void;
  /** How many streams run. */
  watching(): number;
  close(): Promise<void>;
}

/** One stream: what was not read yet, and who waits for more. */
class Told {
  readonly #waits: Lie[] = [];
  #wake: () => void = () => {};

  say(lie: Lie): void {
    this.#waits.push(lie);
    this.#wake();
  }

  async *lies(signal: AbortSignal): AsyncGenerator<Lie> {
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const next = this.#waits.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** Serves nodes of the cluster whose trust `identity` holds. */
export async function openLyingControl(
  { control }: StolenKeys,
  { bundle }: Pick<NodeIdentity, "bundle">,
): Promise<LyingControl> {
  const streams = new Set<Told>();
  const sessions = new Set<Http2Session>();
  const served = connectNodeAdapter({
    routes: (router) =>
      router.service(ControlService, {
        async *watchSnapshot(_request, { signal }) {
          const told = new Told();
          streams.add(told);
          try {
            yield* told.lies(signal);
          } finally {
            streams.delete(told);
          }
        },
      }),
  });
  const options = tlsOptions("control-node", { identity: control, trust: rootsOf(bundle, "node") });
  const server = createSecureServer(options, served);
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session)).on("error", () => {});
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    say(lie) {
      for (const told of streams) told.say(lie);
    },
    watching: () => streams.size,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}
