/** A load through a fabric: one sending and one receiving process, and the comparison of what they say. */

import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../../tests/harness/eventually.ts";
import type { Verdict } from "./ledger.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender, Stream } from "./sender.ts";
import { Worker } from "./worker.ts";

export interface LoadVerdict extends Verdict {
  /** Channels that ended or failed, in words; none should. */
  readonly failures: { readonly count: number; readonly first: readonly string[] };
}

/** How long no byte may arrive before the rest counts as lost. */
const silenceMaxMs = 8_000;

export class Load {
  readonly sender: Worker<Sender>;
  readonly receiver: Worker<Receiver>;
  /** Where the receiver listens: the target of the resources. */
  readonly targetPort: number;

  private constructor(sender: Worker<Sender>, receiver: Worker<Receiver>, targetPort: number) {
    this.sender = sender;
    this.receiver = receiver;
    this.targetPort = targetPort;
  }

  static async start(): Promise<Load> {
    const [sender, receiver] = await Promise.all([
      Worker.start<Sender>("./sender.ts"),
      Worker.start<Receiver>("./receiver.ts"),
    ]);
    return new Load(sender, receiver, await receiver.ask("listen"));
  }

  /**
   * Opens all channels anew and sends until a message of each has arrived, then stops. Tries again while channels are refused:
   * a far edge may hear of a resource later than the entry.
   */
  async open(streams: readonly Stream[]): Promise<void> {
    await eventually(() => this.#openOnce(streams).then(() => true), {
      withinMs: 30_000,
      everyMs: 300,
      what: "the channels of the load",
    });
    await this.stop();
  }

  async #openOnce(streams: readonly Stream[]): Promise<void> {
    await this.sender.ask("stop");
    await this.receiver.ask("reset");
    await this.sender.ask("open", streams);
    const wanted = streams.reduce((sum, { channels }) => sum + channels, 0);
    await this.sendInto(0);
    for (;;) {
      const [there, failures] = [await this.receiver.ask("channels"), await this.sender.ask("failures")];
      if (failures.count > 0) throw new Error(`${failures.count} channels failed: ${failures.first.join(", ")}`);
      if (there >= wanted) return;
      await delay(50);
    }
  }

  /** Sends, or goes on sending, into a measuring window. */
  async sendInto(window: number): Promise<void> {
    await this.sender.ask("window", window);
    await this.sender.ask("start");
  }

  /** Stops sending and waits until everything arrived or nothing does any more. */
  async stop(): Promise<void> {
    await this.sender.ask("stop");
    const sent = await this.sender.ask("sentBytes");
    let arrived = -1;
    let lastProgressMs = performance.now();
    while (performance.now() - lastProgressMs < silenceMaxMs) {
      const now = await this.receiver.ask("arrivedBytes");
      if (now >= sent) break;
      if (now > arrived) lastProgressMs = performance.now();
      arrived = now;
      await delay(20);
    }
  }

  /** Compares everything since `open`; exact only while stopped. */
  async verify(): Promise<LoadVerdict> {
    const totals = await this.sender.ask("totals");
    const verdict = await this.receiver.ask("verify", totals);
    return { ...verdict, failures: await this.sender.ask("failures") };
  }

  async close(): Promise<void> {
    await Promise.all([this.sender.stop(), this.receiver.stop()]);
  }
}
