/** A peer at the end of a path that abuses HTTP/2 itself: it ends its own path, never the process, never another's trunk. */

import { once } from "node:events";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { expect, it } from "vitest";
import type { EdgePath } from "../../edge/edge-path.ts";
import { dialPath } from "../harness/edge-paths.ts";
import { echo, edges, far, identities, openOf, textOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";

const burstCount = 200;

/** Opens streams and resets them at once until the session is over. */
async function flood(session: ClientHttp2Session): Promise<void> {
  await new Promise<void>((resolve) => {
    session.once("close", () => resolve());
    const burst = (): void => {
      for (let i = 0; i < burstCount && !session.destroyed; i += 1) {
        const stream = session.request({
          ":method": "POST",
          ":path": "/weft.channel.v1.ChannelService/Open",
          "content-type": "application/grpc",
        });
        stream.on("error", () => {});
        stream.close(constants.NGHTTP2_CANCEL);
      }
      if (!session.destroyed) setImmediate(burst);
    };
    burst();
  });
}

async function hostileSession(port: number): Promise<{ session: ClientHttp2Session; path: EdgePath }> {
  const path = await dialPath(identities, port);
  path.tls.on("error", () => {});
  path.raw.on("error", () => {});
  const session = connect("https://path-end", { createConnection: () => path.tls });
  session.on("error", () => {});
  await once(session, "connect");
  return { session, path };
}

it("LAW-R3 rapid reset on a path ends that path; the process and other trunks go on", async () => {
  const made = await edges(echo);
  for (let round = 0; round < 8; round += 1) {
    const { session, path } = await hostileSession(made.listener.port);
    await flood(session);
    path.raw.destroy();
  }
  expect(made.acceptor.trunks()).toEqual([]);
  const channel = await made.pool.open(far, openOf("echo"));
  channel.end("still here");
  expect(await textOf(channel)).toBe("still here");
  await eventually(() => made.acceptor.trunks().length === 1, { what: "one trunk" });
});
