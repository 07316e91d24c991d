/** Calls whose messages, paths or metadata are hostile: each is answered with an error, and the connection goes on. */

import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";
import { limits, MiB } from "../../lib/limits.ts";
import { openClientSession, rpcHttp2 } from "../../rpc/http2-profile.ts";
import type { AttackClass } from "./attack-class.ts";
import type { Range } from "./range.ts";
import { servedPath } from "./target.ts";

interface Call {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  /** Leave the request open behind the body. */
  readonly isUnfinished?: boolean;
}

/** The status as a caller sees it: `grpc-8`, `http-404`, `reset-2`, `silent`, or `cut` with the connection. */
type Status = string;

/** A request that goes on and an answer that does not come end here. */
const answerWithinMs = 5_000;

type Session = ReturnType<typeof openClientSession>;

function ask(range: Range, session: Session, { headers, body, isUnfinished }: Call): Promise<Status> {
  return new Promise((resolve) => {
    const stream = session.request({
      ":method": "POST",
      ":path": servedPath(range.endpoint),
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    let status: Status = "cut";
    const hear = (heard: IncomingHttpHeaders): void => {
      const grpc = heard["grpc-status"];
      if (grpc !== undefined) status = `grpc-${String(grpc)}`;
      else if (status === "cut") status = `http-${heard[":status"]}`;
    };
    const timer = range.clock.after(answerWithinMs, () => {
      if (status === "cut") status = "silent";
      stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.on("response", hear).on("trailers", hear).resume();
    stream.on("error", () => {});
    stream.once("close", () => {
      timer.cancel();
      if (status === "cut" && !session.destroyed && stream.rstCode !== 0) status = `reset-${stream.rstCode}`;
      resolve(status);
    });
    if (body !== undefined) stream.write(body);
    if (isUnfinished !== true) stream.end();
  });
}

/** Makes calls, a few at a time on each of a few connections, and judges what comes back. */
export async function call(
  range: Range,
  make: (nth: number) => Call,
  isWrong: (status: Status) => boolean,
): Promise<void> {
  let nth = 0;
  await range.beside(besideCount, async () => {
    while (!range.isOver) {
      const wire = await range.dialTls({}, false);
      if (wire?.tls === undefined) continue;
      const session = openClientSession(wire.tls, rpcHttp2);
      while (wire.isOpen && !session.destroyed && (await range.pace(1))) {
        const made = make(nth);
        nth += 1;
        wire.units += 1;
        range.spent(made.body?.length ?? headBytes(made.headers), 1);
        const status = await Promise.race([ask(range, session, made), range.ended.then(() => "")]);
        if (status === "") break;
        range.answered(status);
        if (isWrong(status)) range.violated(`${status} to call ${nth}`);
        await range.rest(callRestMs);
      }
      session.destroy();
    }
  });
}

const besideCount = 3;
/** Answers are what counts here, not how many; below the rates callers are held to. */
const callRestMs = 150;

function headBytes(headers: OutgoingHttpHeaders | undefined): number {
  return Object.entries(headers ?? {}).reduce((sum, [name, value]) => sum + name.length + String(value).length, 0);
}

/** One gRPC message behind its prefix. */
export function message(isCompressed: boolean, payload: Uint8Array, announcedBytes = payload.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = isCompressed ? 1 : 0;
  prefix.writeUInt32BE(announcedBytes >>> 0, 1);
  return Buffer.concat([prefix, payload]);
}

const succeeds = (status: Status): boolean => status === "grpc-0" || status === "silent";

const badCompression: AttackClass = {
  id: "bad-compression",
  title: "messages that say they are compressed and are not",
  seen: "CVE-2026-48069",
  layer: "http2",
  run: (range) => {
    const encodings = ["gzip", "deflate", "br", "identity", "", "gzip, gzip"];
    return call(
      range,
      (nth) => ({
        headers: { "grpc-encoding": encodings[nth % encodings.length] ?? "gzip" },
        body: message(true, range.random.bytes(64)),
      }),
      succeeds,
    );
  },
};

const sizeBomb: AttackClass = {
  id: "size-bomb",
  title: "a message that announces 4 GiB",
  seen: "CVE-2024-37168",
  layer: "http2",
  run: (range) =>
    call(range, () => ({ body: message(false, Buffer.alloc(1_000), 0xffff_ffff), isUnfinished: true }), succeeds),
};

const gzipBomb: AttackClass = {
  id: "gzip-bomb",
  title: "a small message that unpacks to more than it may",
  seen: "CVE-2024-37168",
  layer: "http2",
  run: (range) => {
    // As much as fits into what a stranger may send: members of a gzip follow each other.
    const member = gzipSync(Buffer.alloc(4 * MiB));
    const count = Math.floor((limits.joiningBodyMaxBytes - 5) / member.length);
    const bomb = message(true, Buffer.concat(Array.from({ length: count }, () => member)));
    return call(range, () => ({ headers: { "grpc-encoding": "gzip" }, body: bomb }), succeeds);
  },
};

const rawPaths: AttackClass = {
  id: "raw-paths",
  title: "paths that are nearly those of RPCs",
  seen: "CVE-2026-33186, THR-A4",
  layer: "http2",
  run: (range) => {
    const path = servedPath(range.endpoint);
    const bare = path.slice(1);
    const paths = [
      bare,
      `/${path}`,
      path.toLowerCase(),
      path.toUpperCase(),
      `${path}/`,
      `${path}?x`,
      `${path}%20`,
      path.replace("/", "%2F"),
      path.replace(/\/(?=[^/]*$)/, "%2F"),
      path.replace(/\/(?=[^/]*$)/, "//"),
      `/./${bare}`,
      `/x/../${bare}`,
      `https://weft.internal${path}`,
      `${path};v=1`,
      `${path}#x`,
      "/",
      "*",
      "/weft.admin.v1.TokenService/CreateToken/",
      "//weft.admin.v1.TokenService/CreateToken",
      "/__proto__/constructor",
    ];
    return call(
      range,
      (nth) => ({ headers: { ":path": paths[nth % paths.length] ?? "/" }, body: message(false, Buffer.alloc(0)) }),
      // Unimplemented, or not even that; anything else was taken for an RPC.
      (status) => !/^(grpc-12|http-4\d\d|reset-\d+|cut)$/.test(status),
    );
  },
};

const hashFlood: AttackClass = {
  id: "hash-flood",
  title: "metadata and maps of names made to collide",
  seen: "CVE-2026-21717",
  layer: "http2",
  run: (range) => {
    const numeric = (count: number, step: number): [string, string][] =>
      Array.from({ length: count }, (_, at) => [String(at * step + 1), ""]);
    const json = Buffer.from(JSON.stringify(Object.fromEntries(numeric(4_000, 65_536))));
    const many = Object.fromEntries(numeric(100, 1_024));
    return call(
      range,
      (nth) =>
        nth % 2 === 0
          ? { headers: many, body: message(false, Buffer.alloc(0)) }
          : { headers: { "content-type": "application/json" }, body: json.subarray(0, limits.joiningBodyMaxBytes) },
      (status) => status === "silent",
    );
  },
};

export const http2Calls: readonly AttackClass[] = [badCompression, sizeBomb, gzipBomb, rawPaths, hashFlood];
