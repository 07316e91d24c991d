import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { requirePeer } from "../../harness/peers.ts";
import { startRedis } from "../../harness/redis.ts";

const redis = requirePeer("redis", "a Redis of its own");

describe.skipIf(redis.missing)("a Redis of its own", () => {
  it("answers, refuses in an interruption, and comes back empty", async () => {
    const server = await startRedis(redis.path);
    const ask = async (work: (client: Redis) => Promise<unknown>): Promise<unknown> => {
      const client = new Redis(server.url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
      client.on("error", () => {});
      try {
        await client.connect();
        return await work(client);
      } finally {
        client.disconnect();
      }
    };
    try {
      await ask((client) => client.set("hint", "1"));
      expect(await ask((client) => client.get("hint"))).toBe("1");
      const restore = await server.interrupt();
      await expect(ask((client) => client.ping())).rejects.toThrow();
      await restore();
      expect(await ask((client) => client.get("hint"))).toBeNull();
    } finally {
      await server.stop();
    }
  });
});
