import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EdgeChannel } from "../../../edge/channel.ts";
import { pipeToSource } from "../../../edge/pipe-source.ts";
import { ChannelEnd, ChannelStage } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { eventually } from "../../harness/eventually.ts";
import { makeTrunks, type Trunks } from "../node/roles/channel-pair.ts";

let trunks: Trunks;
beforeAll(async () => {
  trunks = await makeTrunks();
});
afterAll(() => trunks.close());

const server = createServer({ allowHalfOpen: true });
const served = new Set<Socket>();
server.on("connection", (socket) => {
  served.add(socket);
  socket.once("close", () => served.delete(socket));
});
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => void server.close());

interface Joined {
  /** The plain client. */
  readonly client: Socket;
  /** The entry's side of it, joined with `near`. */
  readonly source: Socket;
  readonly near: EdgeChannel;
  /** The egress's end. */
  readonly far: EdgeChannel;
}

async function joined(): Promise<Joined> {
  const { near, far } = await trunks.open();
  far.accept();
  await near.opened;
  const arriving = once(server, "connection") as Promise<[Socket]>;
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [source] = await arriving;
  client.on("error", () => {});
  pipeToSource(near, source);
  return { client, source, near, far };
}

/** Everything until the half-close; the other direction stays as it is. */
function textOf(stream: Socket | EdgeChannel): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    stream.once("end", () => resolve(text));
    stream.once("error", reject);
  });
}

const gone = ({ source, near }: Joined) =>
  eventually(() => source.destroyed && near.destroyed, { what: "both sides gone" });

describe("a plain connection and its channel", () => {
  it("carry bytes both ways and end when both sides have ended", async () => {
    const pair = await joined();
    pair.client.end("question");
    expect(await textOf(pair.far)).toBe("question");
    pair.far.end("answer");
    expect(await textOf(pair.client)).toBe("answer");
    await gone(pair);
    expect(pair.near.errored).toBeNull();
  });

  it("keep the half-close of the client: the answer still comes", async () => {
    const pair = await joined();
    pair.client.end();
    await textOf(pair.far);
    expect(pair.source.destroyed).toBe(false);
    pair.far.write("late ");
    pair.far.end("answer");
    expect(await textOf(pair.client)).toBe("late answer");
    await gone(pair);
  });

  it("keep the half-close of the target: the client may go on sending", async () => {
    const pair = await joined();
    pair.far.end("bye");
    expect(await textOf(pair.client)).toBe("bye");
    expect(pair.near.destroyed).toBe(false);
    pair.client.end("last words");
    expect(await textOf(pair.far)).toBe("last words");
    await gone(pair);
  });

  it("lose nothing the client sent although the target ended first and reads slowly", async () => {
    const pair = await joined();
    const bytes = 200_000;
    pair.client.end(Buffer.alloc(bytes, 1));
    // More than the first credit: the channel cannot have sent it all while nobody reads at the far end.
    pair.far.end();
    await once(pair.client.resume(), "close");
    expect((await textOf(pair.far)).length).toBe(bytes);
    await gone(pair);
  });

  it("a client that resets ends the channel, and says so at the far end", async () => {
    const pair = await joined();
    const failed = once(pair.far, "error") as Promise<[{ detail: string }]>;
    pair.client.resetAndDestroy();
    expect((await failed)[0].detail).toBe("CANCELED");
    await gone(pair);
  });

  it("a channel that ends by an error resets the client: a cut is never taken for an end", async () => {
    const pair = await joined();
    const failed = once(pair.client, "error") as Promise<[{ code: string }]>;
    pair.client.resume();
    pair.far.write("some");
    pair.far.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET);
    expect((await failed)[0].code).toBe("ECONNRESET");
    await gone(pair);
  });

  it("a client that reads nothing holds the far end back", async () => {
    const pair = await joined();
    pair.client.pause();
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    while (sent < 64 * 1024 * 1024) {
      const full = !pair.far.write(chunk);
      sent += chunk.length;
      if (full && !(await drained(pair.far))) break;
    }
    expect(sent).toBeLessThan(64 * 1024 * 1024);
    expect(pair.near.readableLength).toBeLessThanOrEqual(limits.channelCreditMaxBytes);
    pair.client.resetAndDestroy();
    await gone(pair);
  });

  it("leave no socket and no channel behind in 200 rounds of every ending", async () => {
    const endings: ((pair: Joined) => void)[] = [
      ({ client, far }) => {
        client.end("x");
        far.end("y");
        client.resume();
        far.resume();
      },
      ({ client, far }) => {
        client.destroy();
        far.once("end", () => far.end());
      },
      ({ client }) => void client.resetAndDestroy(),
      ({ far }) => void far.destroy(),
      ({ far }) => far.abort(ChannelEnd.REVOKED, ChannelStage.EGRESS),
      ({ near }) => void near.destroy(),
    ];
    for (let round = 0; round < 200; round++) {
      const pair = await joined();
      endings[round % endings.length]?.(pair);
      pair.client.resume();
      pair.far.resume();
      // A client that only went away still owes its own end.
      if (round % endings.length === 0) await gone(pair);
    }
    await eventually(() => served.size === 0, { what: "no socket left" });
    await eventually(() => trunks.pool.trunks().every((trunk) => trunk.stats().channelCount === 0), {
      what: "no channel left",
    });
  });
});

/** Whether the channel takes more within a short while. */
async function drained(channel: EdgeChannel): Promise<boolean> {
  return await eventually(() => !channel.writableNeedDrain, { withinMs: 300 }).then(
    () => true,
    () => false,
  );
}
