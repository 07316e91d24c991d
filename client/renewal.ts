/**
 * Keeps a client's certificate fresh: another one, for a new key, through any entry, at a third of its life. Nothing that runs
 * notices: paths and connections made from then on show the new one, and those before are replaced before the old one ends.
 *
 * RN1. The new certificate is kept where it outlives this process before anything uses it: its first use takes the right to
 *      renew from the one before.
 * RN2. An attempt after one that failed asks with the same key: its answer may have got lost.
 * RN3. It keeps no process alive, and dials nobody before the certificate is due.
 */

import type { Client } from "@connectrpc/connect";
import { makeCsr } from "../certs/csr.ts";
import { generateP256Async, type KeyPair, privateKeyPem, signEs256 } from "../certs/keys.ts";
import { leafDueMs, withinLife } from "../certs/leaf-life.ts";
import { leafOfKind } from "../certs/material.ts";
import type { PathService, RenewIdentityRequest } from "../gen/weft/access/v1/access_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ClientIdentity } from "./identity.ts";
import type { IdentityKeeper, IdentitySource } from "./identity-source.ts";

export type RenewalQuestion = Omit<RenewIdentityRequest, "$typeName" | "$unknown">;

export interface ClientRenewalOptions {
  readonly read: () => ClientIdentity;
  readonly keeper: IdentityKeeper;
  /** Asks the entries, one after the other. Rejects with the most telling refusal. */
  readonly ask: (question: RenewalQuestion) => Promise<{ readonly certificateDer: Uint8Array }>;
  /** Whether the leaf's root is about to go: it is replaced now, whenever it is due. */
  readonly isTainted: (identity: ClientIdentity) => boolean;
  /** Another leaf than that of `before` is in use from now on, whoever renewed it. */
  readonly onRenewed: (before: ClientIdentity) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const retryFirstMs = 2_000;
const retryMaxMs = 300_000;
const retryLifeShare = 1 / 12;
/** Another program may renew a shared folder: it is looked at now and then. */
const lookEveryMs = 60_000;

export class ClientRenewal {
  readonly #options: ClientRenewalOptions;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #isClosed = false;
  #failures = 0;
  /** Asked for, and not answered yet. */
  #keys: KeyPair | undefined;
  /** When which leaf is due: spread once for each. */
  #due: { readonly serialHex: string; readonly atMs: number } | undefined;
  #saidProblem = false;
  /** Whose leaf was in use when it was last looked at. */
  #used: ClientIdentity | undefined;

  constructor(options: ClientRenewalOptions) {
    this.#options = options;
    this.#again(0);
  }

  /** Looks at the leaf now: it may have been tainted. */
  look(): void {
    if (this.#looking === undefined) this.#again(0);
  }

  /** Resolves when an attempt under way is over. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  #again(afterMs: number): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(afterMs, () => {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined;
      });
    });
  }

  async #look(): Promise<void> {
    const { clock, log, keeper } = this.#options;
    let waitMs = lookEveryMs;
    try {
      const identity = this.#options.read();
      this.#use(identity);
      const leftMs = this.#dueMs(identity) - clock.nowMs();
      if (leftMs > 0) waitMs = Math.min(lookEveryMs, leftMs);
      else if (identity.leaf.notAfterMs <= clock.nowMs()) throw expired();
      else if (this.#canKeep()) {
        const done = await keeper.alone(() => this.#renew(identity));
        // Somebody else is at it.
        if (done === undefined) waitMs = withinLife(identity.leaf, retryFirstMs, retryLifeShare);
        else waitMs = 0;
      }
      this.#failures = 0;
    } catch (thrown) {
      waitMs = this.#retryMs();
      log.warn("the client's certificate could not be renewed", { error: messageOf(thrown), durationMs: waitMs });
    }
    this.#again(waitMs);
  }

  /** Tells when it is another leaf than before, whether this program renewed it or another one that shares the folder. */
  #use(identity: ClientIdentity): void {
    const before = this.#used;
    this.#used = identity;
    if (before !== undefined && before.leaf.serialHex !== identity.leaf.serialHex) this.#options.onRenewed(before);
  }

  #dueMs(identity: ClientIdentity): number {
    const { random, isTainted } = this.#options;
    const { leaf } = identity;
    if (isTainted(identity)) return 0;
    if (this.#due?.serialHex !== leaf.serialHex)
      this.#due = { serialHex: leaf.serialHex, atMs: leafDueMs(leaf, random.float() - 0.5) };
    return this.#due.atMs;
  }

  #canKeep(): boolean {
    const problem = this.#options.keeper.problem();
    if (problem === undefined) return true;
    if (!this.#saidProblem) this.#options.log.warn("the client's certificate is not renewed", { error: problem });
    this.#saidProblem = true;
    return false;
  }

  #retryMs(): number {
    const { random } = this.#options;
    let life = { notBeforeMs: 0, notAfterMs: Number.MAX_SAFE_INTEGER };
    try {
      life = this.#options.read().leaf;
    } catch {
      // What cannot be read is looked at again slowly.
    }
    const firstMs = withinLife(life, retryFirstMs, retryLifeShare);
    const ms = Math.min(withinLife(life, retryMaxMs, retryLifeShare), firstMs * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    return Math.max(100, ms * (0.8 + 0.4 * random.float()));
  }

  /** True; whether by this program or by another one, there is a new leaf. */
  async #renew(before: ClientIdentity): Promise<true> {
    const { clock, keeper, ask, read, log } = this.#options;
    const now = read();
    // Another program was faster.
    if (now.leaf.serialHex !== before.leaf.serialHex) return true;
    this.#keys ??= await generateP256Async();
    const keys = this.#keys;
    const csr = makeCsr(keys);
    const issuedAtMs = BigInt(Math.floor(clock.nowMs()));
    const statement = Buffer.concat([Buffer.from("weft/client-renew/v1\0"), csr, Buffer.from(String(issuedAtMs))]);
    const signature = signEs256(now.key, statement);
    const { certificateDer } = await ask({ certificateDer: now.leaf.certificateDer, csr, issuedAtMs, signature });
    const keyPem = privateKeyPem(keys.privateKey);
    const leaf = leafOfKind("client", keyPem, certificateDer);
    if (leaf.id.id !== now.clientId || leaf.id.clusterId !== now.clusterId || leaf.id.trustDomain !== now.trustDomain)
      throw new WeftError("data_loss", "the new certificate is another client's", { detail: "CLIENT_CHANGED" });
    await keeper.keep({ keyPem, certificateDer });
    this.#keys = undefined;
    log.info("the client's certificate was renewed");
    this.#use(read());
    return true;
  }
}

function expired(): WeftError {
  const message =
    "it has expired; an operator makes a new identity: weft identity add client NAME --organization ORG --out DIR";
  return new WeftError("failed_precondition", message, { detail: "IDENTITY_EXPIRED" });
}

/** What an entry is to the renewal. */
export interface RenewingEntry {
  ask<T>(ask: (entry: Pick<Client<typeof PathService>, "renewIdentity">) => Promise<T>): Promise<T>;
  renew(): void;
}

/** Keeps the identity of `source` fresh through `entries`; undefined when its owner does that. */
export function startRenewal(
  source: IdentitySource,
  entries: readonly RenewingEntry[],
  deps: Pick<ClientRenewalOptions, "read" | "isTainted" | "clock" | "random" | "log"> & {
    /** Beside new connections to the entries. */
    readonly onRenewed?: ClientRenewalOptions["onRenewed"];
  },
): ClientRenewal | undefined {
  const { keeper } = source;
  if (keeper === undefined) return undefined;
  return new ClientRenewal({
    ...deps,
    keeper,
    ask: (question) => askEntries(entries, question),
    onRenewed: (before) => {
      for (const entry of entries) entry.renew();
      deps.onRenewed?.(before);
    },
  });
}

/** The first answer; what control says of the client itself is told before what an entry could not do. */
async function askEntries(entries: readonly RenewingEntry[], question: RenewalQuestion) {
  let told: unknown;
  for (const entry of entries) {
    try {
      return await entry.ask((paths) => paths.renewIdentity(question, { timeoutMs: limits.clientRenewMs }));
    } catch (thrown) {
      if (told === undefined || isRefusal(thrown)) told = thrown;
    }
  }
  throw told;
}

function isRefusal(thrown: unknown): boolean {
  return (
    thrown instanceof WeftError && (thrown.reason === "permission_denied" || thrown.reason === "failed_precondition")
  );
}
