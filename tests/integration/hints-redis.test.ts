import { createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Hints } from "../../control/hints/hints.ts";
import { redisHints } from "../../control/hints/redis.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { eventually } from "../harness/eventually.ts";
import { requirePeer } from "../harness/peers.ts";
import { type RedisServer, startRedis } from "../harness/redis.ts";

function open(url: string): Hints {
  return redisHints({ url, clock: systemClock, log: silentLog });
}

const redis = requirePeer("redis", "hints over Redis");

describe.skipIf(redis.missing)("hints over Redis", () => {
  let server: RedisServer;
  const hints: Hints[] = [];
  beforeAll(async () => {
    server = await startRedis(redis.path);
  });
  afterAll(async () => {
    for (const each of hints) await each.close();
    await server.stop();
  });

  it("LAW-C4 reach the other replicas, coalesced, and this one at once", async () => {
    const [here, there] = [open(server.url), open(server.url)];
    hints.push(here, there);
    let told = 0;
    let toldElsewhere = 0;
    here.subscribe("snapshot:cl-a", () => {
      told += 1;
    });
    there.subscribe("snapshot:cl-a", () => {
      toldElsewhere += 1;
    });
    await eventually(() => {
      here.publish("snapshot:cl-a");
      return toldElsewhere > 2;
    });
    const before = told;
    here.publish("snapshot:cl-a");
    await Promise.resolve();
    expect(told).toBe(before + 1);
    const start = toldElsewhere;
    for (let at = 0; at < 5_000; at += 1) here.publish("snapshot:cl-a");
    await eventually(() => toldElsewhere > start);
    expect(toldElsewhere - start).toBeLessThan(100);
  });

  it("come back by themselves after an outage, and then say that anything may have changed", async () => {
    const there = open(server.url);
    hints.push(there);
    let told = 0;
    there.subscribe("feed:cl-a", () => {
      told += 1;
    });
    await eventually(() => told > 0);
    const restore = await server.interrupt();
    there.publish("feed:cl-a");
    const before = told;
    await restore();
    await eventually(() => told > before);
  });
});

describe("hints against a hostile or absent Redis", () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  async function fake(onData: (socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => onData(socket));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `redis://127.0.0.1:${address.port}`;
  }

  it("REVIEW-22 work within the process when nobody is there", async () => {
    const hints = open("redis://127.0.0.1:1");
    let told = 0;
    const stop = hints.subscribe("feed:cl-a", () => {
      told += 1;
    });
    hints.publish("feed:cl-a");
    await eventually(() => told === 1);
    stop();
    hints.publish("feed:cl-a");
    await hints.close();
    expect(told).toBe(1);
  });

  it("REVIEW-22 hang up on a flood: bytes and calls stay bounded", async () => {
    const topic = "feed:cl-a";
    const message = `*3\r\n$7\r\nmessage\r\n$13\r\nweft:hints:v1\r\n$${topic.length}\r\n${topic}\r\n`;
    const burst = Buffer.from(message.repeat(2_000));
    let sentBytes = 0;
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      socket.write("*3\r\n$9\r\nsubscribe\r\n$13\r\nweft:hints:v1\r\n:1\r\n");
      const more = (): void => {
        while (!socket.destroyed && socket.write(burst)) sentBytes += burst.length;
        sentBytes += burst.length;
      };
      socket.on("drain", more);
      more();
    });
    const hints = open(url);
    let told = 0;
    hints.subscribe(topic, () => {
      told += 1;
    });
    await eventually(() => connections > 3, { withinMs: 15_000 });
    const toldThen = told;
    await hints.close();
    expect(toldThen).toBeGreaterThan(0);
    expect(toldThen).toBeLessThan(1_000);
    // Kernel buffers of a few connections, not the flood's own size.
    expect(sentBytes).toBeLessThan(connections * (limits.hintBytesPerSecond + 64 * 1024 * 1024));
  });

  it("REVIEW-22 hang up on an answer without end, on the connection that only tells", async () => {
    const answer = Buffer.alloc(256 * 1024, "x");
    let sentBytes = 0;
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      socket.write("$1000000000\r\n");
      const more = (): void => {
        while (!socket.destroyed && socket.write(answer)) sentBytes += answer.length;
        sentBytes += answer.length;
      };
      socket.on("drain", more);
      more();
    });
    const before = process.memoryUsage().rss;
    const hints = open(url);
    const publishing = setInterval(() => hints.publish("feed:cl-a"), 5);
    await eventually(() => connections > 4, { withinMs: 15_000 });
    clearInterval(publishing);
    await hints.close();
    const grownBytes = process.memoryUsage().rss - before;
    expect(sentBytes).toBeLessThan(connections * (limits.hintBytesPerSecond + 64 * 1024 * 1024));
    expect(grownBytes).toBeLessThan(256 * 1024 * 1024);
  });

  it("REVIEW-22 ignore what is no topic", async () => {
    const junk = [
      "*1\r\n$-5\r\n",
      ":99999999999999999999\r\n",
      ":1\r\n",
      `*3\r\n$7\r\nmessage\r\n$13\r\nweft:hints:v1\r\n$200\r\n${"x".repeat(200)}\r\n`,
    ];
    let connections = 0;
    const url = await fake((socket) => {
      socket.write(junk[connections++ % junk.length] ?? "");
    });
    const hints = open(url);
    let told = 0;
    hints.subscribe("feed:cl-a", () => {
      told += 1;
    });
    await eventually(() => connections >= junk.length, { withinMs: 15_000 });
    hints.publish("feed:cl-a");
    await eventually(() => told > 0);
    await hints.close();
  });

  it("THR-P1 refuses a remote server without TLS", () => {
    expect(() => open("redis://redis.example.com")).toThrow(/TLS/);
    expect(() => open("http://localhost")).toThrow(/connection string/);
  });
});
