/**
 * Hints: "the row you care about may have changed". A hint carries nothing and may be lost, repeated, late or made up by
 * somebody else; who gets one reads the row again, and who gets none reads it within a bound of its own. So whoever
 * controls the hints can cost time, and decide nothing.
 */

export interface Hints {
  /** Tells every subscriber of the topic, in this process and the others. Never throws, never waits. */
  publish(topic: string): void;
  /**
   * Calls `fn` after every change by this process, for those of others at most twice per `limits.hintTopicEveryMs`, and
   * once after a time in which hints may have been lost.
   */
  subscribe(topic: string, fn: () => void): () => void;
  close(): Promise<void>;
}

const TOPIC = /^[a-z]{1,32}:[a-z0-9-]{1,80}$/;

/** Whether a text can be a topic at all. */
export function isTopic(text: string): boolean {
  return TOPIC.test(text);
}

/** The topic of everything an allowlist is made of. */
export const CERTIFICATES_TOPIC = "certificates:all";

/** The topic of which clusters there are. */
export const CLUSTERS_TOPIC = "clusters:all";
