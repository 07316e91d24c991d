/** What a QoS policy may say. Pure checks of what an operator asks for; every problem is named, not only the first. */

import { defaultPriority } from "../../fabric/qos.ts";
import { limits } from "../../lib/limits.ts";
import { classes } from "../store/vocabulary.ts";
import type { ClassName } from "./placement.ts";
import { Problems } from "./problems.ts";

export interface ClassPolicyDraft {
  readonly class: ClassName | undefined;
  readonly priority: number;
  readonly rateBytesPerSecond: bigint;
  readonly burstBytes: bigint;
}

export interface ClassPolicySpec {
  readonly class: ClassName;
  readonly priority: number;
  readonly rateBytesPerSecond: number;
  readonly burstBytes: number;
}

/** Checks a policy and fills in the default priority. Throws `invalid_argument` (INVALID_FIELD) naming every problem. */
export function checkClassPolicy(draft: ClassPolicyDraft): ClassPolicySpec {
  const problems = new Problems();
  const { class: className, priority } = draft;
  const rate = Number(draft.rateBytesPerSecond);
  const burst = Number(draft.burstBytes);
  if (className === undefined) problems.add("class", "name the class: bulk, interactive or droppable");
  if (priority > limits.qosPriorityMaxCount) problems.add("priority", `at most ${limits.qosPriorityMaxCount}`);
  if (rate !== 0 && rate < limits.qosRateMinBytesPerSecond) {
    problems.add("rate_bytes_per_second", `0 (unlimited) or at least ${limits.qosRateMinBytesPerSecond}`);
  }
  if (rate > limits.qosRateMaxBytesPerSecond) {
    problems.add("rate_bytes_per_second", `at most ${limits.qosRateMaxBytesPerSecond}`);
  }
  if (burst !== 0 && (burst < limits.qosBurstMinBytes || burst > limits.qosBurstMaxBytes)) {
    problems.add("burst_bytes", `0 (the default) or ${limits.qosBurstMinBytes} to ${limits.qosBurstMaxBytes}`);
  }
  if (burst !== 0 && rate === 0) problems.add("burst_bytes", "a burst means nothing without a rate");
  problems.throwIfAny();
  const known = className as ClassName;
  return {
    class: known,
    priority: priority === 0 ? defaultPriority(classes.value(known)) : priority,
    rateBytesPerSecond: rate,
    burstBytes: burst,
  };
}
