/** Processes that take all the CPU they get. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export class Hogs {
  readonly #children: ChildProcess[];

  constructor(count: number) {
    this.#children = Array.from({ length: count }, () =>
      spawn(process.execPath, ["-e", "for (;;) Math.sqrt(2)"], { stdio: "ignore" }),
    );
    process.on("exit", () => {
      for (const child of this.#children) child.kill("SIGKILL");
    });
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map((child) => {
        const exited = once(child, "exit");
        child.kill("SIGKILL");
        return exited;
      }),
    );
    this.#children.length = 0;
  }
}
