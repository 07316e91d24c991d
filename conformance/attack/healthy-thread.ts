/** The thread of a `HealthyClient`: asks at fixed times and notes how long each answer took. */

import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { dialTcp, startTls } from "../../edge/dial.ts";
import { sleep, systemClock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { systemRandom } from "../../lib/random.ts";
import { openClientSession, rpcHttp2 } from "../../rpc/http2-profile.ts";
import { clientHello } from "./client-hello.ts";
import { type HealthyOrder, type HealthySays, lateAnswer, type ReferenceAt, type Sample } from "./healthy.ts";
import { type Endpoint, type Healthy, servedPath, tlsOf } from "./target.ts";

/** Well below the calls a second anybody may make. */
const askEveryMs = 50;
const knockEveryMs = 500;
/** What is not answered by then has failed. */
const answerWithinMs = 5_000;

const attemptsMaxCount = 5;
const attemptRestMs = 500;

const clock = systemClock;
const { healthy, door, referencePort } = workerData as HealthyOrder & ReferenceAt;

let samples: Promise<Sample>[] = [];
let phaseFromMs = clock.monoMs();

/** Resolves with how it failed, undefined when it came to a good end. */
type Ask = () => Promise<string | undefined>;

function take(kind: Sample["kind"], ask: Ask): void {
  const atMs = clock.monoMs();
  const late = sleep(clock, answerWithinMs).then(() => lateAnswer);
  const answered = Promise.race([ask().catch(messageOf), late]);
  samples.push(
    answered.then((why) =>
      why === undefined ? { kind, atMs, tookMs: clock.monoMs() - atMs } : { kind, atMs, tookMs: undefined, why },
    ),
  );
}

const emptyMessage = Buffer.alloc(5);

async function rpcAsks(endpoint: Endpoint): Promise<{ readonly call: Ask; readonly ping: Ask }> {
  const dial = { clock, deadlineMs: limits.rpcConnectDeadlineMs };
  const raw = await dialTcp([endpoint], dial);
  const session = openClientSession(await startTls(raw, tlsOf(endpoint), dial), rpcHttp2);
  const call: Ask = () =>
    new Promise((resolve) => {
      const path = servedPath(endpoint);
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status = "cut";
      const hear = (heard: Record<string, unknown>): void => {
        status = String(heard["grpc-status"] ?? heard[":status"] ?? status);
      };
      stream
        .on("response", hear)
        .on("trailers", hear)
        .on("error", () => {});
      stream.once("close", () => resolve(status === "0" ? undefined : `status ${status}, reset ${stream.rstCode}`));
      stream.resume();
      stream.end(emptyMessage);
      clock.after(answerWithinMs * 2, () => stream.close(constants.NGHTTP2_CANCEL));
    });
  const ping: Ask = () =>
    new Promise((resolve) => {
      session.ping((error) => resolve(error?.message));
    });
  return { call, ping };
}

function echoAsk({ host, port }: { readonly host: string; readonly port: number }): Ask {
  let socket: Socket | undefined;
  const waiting: ((why: string | undefined) => void)[] = [];
  const open = (): Socket => {
    const made = connect({ host, port, noDelay: true });
    made.on("data", (chunk: Buffer) => {
      for (let count = chunk.length; count > 0; count -= 1) waiting.shift()?.(undefined);
    });
    made.on("error", () => {});
    made.once("close", () => {
      socket = undefined;
      for (const resolve of waiting.splice(0)) resolve("the connection closed");
    });
    return made;
  };
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      socket ??= open();
      socket.write("?");
    });
}

/** A hello, and whatever the port says or does. */
function knockAsk({ host, port, serverName }: Endpoint): Ask {
  const named = serverName === undefined ? {} : { serverName: Buffer.from(serverName) };
  const hello = clientHello(systemRandom, { ...named, groups: [0x11ec, 0x001d], protocols: [Buffer.from("h2")] });
  return () =>
    new Promise((resolve) => {
      const socket = connect({ host, port, noDelay: true });
      let isUp = false;
      socket.once("connect", () => {
        isUp = true;
        socket.write(hello);
      });
      const answered = (): void => {
        resolve(isUp ? undefined : "not accepted");
        socket.destroy();
      };
      socket.once("data", answered).once("end", answered).once("error", answered).once("close", answered);
      clock.after(answerWithinMs * 2, () => socket.destroy());
    });
}

async function first(ask: Ask): Promise<void> {
  const why = await ask();
  if (why !== undefined) throw new Error(why);
}

async function start(asked: Healthy): Promise<void> {
  switch (asked.kind) {
    case "rpc": {
      const { call, ping } = await rpcAsks(asked.endpoint);
      await first(call);
      clock.every(askEveryMs, () => take("call", call));
      clock.every(askEveryMs, () => take("ping", ping));
      return;
    }
    case "echo": {
      const echo = echoAsk(asked);
      await first(echo);
      clock.every(askEveryMs, () => take("call", echo));
      return;
    }
    case "knock": {
      const knock = knockAsk(asked.endpoint);
      await first(knock);
      clock.every(askEveryMs, () => take("call", knock));
    }
  }
}

function say(said: HealthySays): void {
  parentPort?.postMessage(said);
}

parentPort?.on("message", () => {
  const fromMs = phaseFromMs;
  const toMs = clock.monoMs();
  phaseFromMs = toMs;
  const taken = samples;
  samples = [];
  void Promise.all(taken).then((all) => say({ kind: "phase", phase: { fromMs, toMs, samples: all } }));
});

/** A busy machine may need more than one beginning. */
async function begin(attemptsLeft: number): Promise<void> {
  try {
    await start(healthy);
  } catch (thrown) {
    if (attemptsLeft <= 1) throw thrown;
    await sleep(clock, attemptRestMs);
    await begin(attemptsLeft - 1);
  }
}

/** What is asked whoever the healthy client is: newcomers at the door, and the echo this machine is measured by. */
function startOthers(): void {
  const newcomer = knockAsk(door);
  const reference = echoAsk({ host: "127.0.0.1", port: referencePort });
  clock.every(askEveryMs, () => take("reference", reference));
  clock.every(knockEveryMs, () => take("newcomer", newcomer));
}

begin(attemptsMaxCount).then(
  () => {
    startOthers();
    say({ kind: "up" });
  },
  (thrown: unknown) => say({ kind: "down", why: messageOf(thrown) }),
);
