/**
 * Hints through Redis, for several replicas of control.
 *
 * H1. Nothing waits for Redis and nothing is decided by what it says: an unknown topic, a malformed message, a flood or no
 *     Redis at all change no outcome. Subscribers in this process are told directly, not through Redis.
 * H2. A server that sends more than `limits.hintBytesPerSecond` is hung up on for a while: a flood costs a bounded number
 *     of bytes, and no message is ever held that is larger than that.
 * H3. After every reconnection all topics fire once: hints may have been lost.
 * H4. A server that answers with anything but what it was asked for is hung up on before the client library reads it
 *     (reply-guard.ts): no answer ends this process.
 */

import { isIP } from "node:net";
import { Redis } from "ioredis";
import type { Clock, Timer } from "../../lib/clock.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { type Hints, isTopic } from "./hints.ts";
import { HintTable } from "./memory.ts";
import { ReplyGuard } from "./reply-guard.ts";

export interface RedisHintsOptions {
  /** `redis://` or `rediss://` with user and password. A secret. */
  readonly url: string;
  /** CA certificates of the server, PEM; those the host trusts when absent. A remote server is always verified. */
  readonly caPem?: string;
  readonly clock: Clock;
  readonly log: Log;
}

const CHANNEL = "weft:hints:v1";
const PERIOD_MS = 1_000;

/** Connects in the background. Throws `invalid_argument` (HINTS_URL) or `failed_precondition` (HINTS_INSECURE). */
export function redisHints(options: RedisHintsOptions): Hints {
  return new RedisHints(options);
}

/** Throws what `redisHints` would for this server, without connecting. */
export function requireHintsUrl({ url, caPem }: Pick<RedisHintsOptions, "url" | "caPem">): void {
  connectionOf(url, caPem);
}

class RedisHints implements Hints {
  readonly #table: HintTable;
  readonly #log: Log;
  readonly #publisher: Redis;
  readonly #subscriber: Redis;
  readonly #period: Timer;
  #receivedBytes = 0;
  #pending = 0;
  #closed = false;

  constructor(options: RedisHintsOptions) {
    this.#table = new HintTable(options.clock);
    this.#log = options.log;
    this.#publisher = this.#connect(options);
    this.#subscriber = this.#connect(options);
    for (const redis of [this.#publisher, this.#subscriber]) redis.on("connect", () => this.#meter(redis));
    this.#subscriber.on("ready", () => this.#listen());
    this.#subscriber.on("message", (channel: string, topic: string) => {
      if (channel === CHANNEL && topic.length <= limits.hintTopicMaxBytes && isTopic(topic)) this.#table.fire(topic);
    });
    this.#period = options.clock.every(PERIOD_MS, () => {
      this.#receivedBytes = 0;
    });
  }

  #connect(options: RedisHintsOptions): Redis {
    const redis = new Redis({
      ...connectionOf(options.url, options.caPem),
      // The plain protocol, without a word about this client: the fewer kinds of answers, the fewer can be lies.
      protocol: 2,
      disableClientInfo: true,
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      connectTimeout: limits.storeConnectTimeoutMs,
      commandTimeout: limits.storeConnectTimeoutMs,
      enableReadyCheck: false,
      retryStrategy: (attempt) => Math.min(limits.hintReconnectMaxMs, 50 * 2 ** Math.min(attempt, 10)),
    });
    redis.on("error", (error: Error) => this.#log.debug("hints are not reachable", { error: messageOf(error) }));
    redis.connect().catch(() => {
      // The retry strategy goes on; the error event has told the log.
    });
    return redis;
  }

  /**
   * Counts what the server sends and hangs up when it is too much, on either connection (H2), or is nothing a Redis says to
   * such a client (H4). Called before the connection's first byte is read.
   */
  #meter(redis: Redis): void {
    const { stream } = redis;
    const guard = new ReplyGuard(redis === this.#subscriber);
    const readers = stream.listeners("data") as ((chunk: Buffer) => void)[];
    stream.removeAllListeners("data");
    stream.on("data", (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      const tooMuch = this.#receivedBytes > limits.hintBytesPerSecond;
      if (!tooMuch && guard.accepts(chunk)) {
        for (const read of readers) read(chunk);
        return;
      }
      const why = tooMuch ? "hints arrive too fast" : "what answers as Redis is none";
      this.#log.warn(`${why}; hanging up for a while`, { bytes: this.#receivedBytes });
      stream.destroy(new Error(why));
    });
  }

  #listen(): void {
    this.#subscriber.subscribe(CHANNEL).then(
      () => this.#table.fireAll(),
      (error: unknown) => {
        this.#log.debug("cannot subscribe to hints", { error: messageOf(error) });
        if (!this.#closed) this.#subscriber.disconnect(true);
      },
    );
  }

  publish(topic: string): void {
    this.#table.tell(topic);
    if (this.#closed || this.#publisher.status !== "ready" || this.#pending >= limits.hintsPendingMaxCount) return;
    this.#pending += 1;
    this.#publisher
      .publish(CHANNEL, topic)
      .catch(() => undefined)
      .finally(() => {
        this.#pending -= 1;
      });
  }

  subscribe(topic: string, fn: () => void): () => void {
    return this.#table.subscribe(topic, fn);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#period.cancel();
    this.#table.clear();
    this.#subscriber.disconnect();
    this.#publisher.disconnect();
  }
}

function connectionOf(url: string, caPem: string | undefined): Record<string, unknown> {
  const malformed = new WeftError("invalid_argument", "not a Redis connection string", { detail: "HINTS_URL" });
  if (!URL.canParse(url)) throw malformed;
  const parsed = new URL(url);
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") throw malformed;
  const host = decodeURIComponent(parsed.hostname).replace(/^\[|\]$/g, "");
  const local = host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
  const tls = parsed.protocol === "rediss:";
  if (!local && !tls) {
    const message =
      "a remote Redis needs verified TLS: rediss:// in its URL, and redisCaFile when its CA is not one this host trusts";
    throw new WeftError("failed_precondition", message, { detail: "HINTS_INSECURE" });
  }
  return {
    host,
    port: parsed.port === "" ? 6379 : Number(parsed.port),
    ...(parsed.username === "" ? {} : { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password === "" ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(tls
      ? {
          tls: {
            ...(caPem === undefined ? {} : { ca: caPem }),
            rejectUnauthorized: true,
            ...(isIP(host) === 0 ? { servername: host } : {}),
          },
        }
      : {}),
  };
}
