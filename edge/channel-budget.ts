/**
 * How many channels may live at a far edge: in all, and of one peer over all its trunks. Each holds a socket to a target and
 * queues beside it; one peer at its bound takes no room from another.
 */

export class ChannelBudget {
  readonly #maxCount: number;
  readonly #parent: ChannelBudget | undefined;
  #count = 0;

  /** Budgets nest: taking from one takes from its parent too. */
  constructor(maxCount: number, parent?: ChannelBudget) {
    this.#maxCount = maxCount;
    this.#parent = parent;
  }

  /** Channels that live. */
  get count(): number {
    return this.#count;
  }

  /** Counts one more channel; false, and nothing counted, when there is no room. */
  take(): boolean {
    if (this.#count >= this.#maxCount || this.#parent?.take() === false) return false;
    this.#count += 1;
    return true;
  }

  give(): void {
    this.#count -= 1;
    this.#parent?.give();
  }
}
