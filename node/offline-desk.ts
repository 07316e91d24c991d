/**
 * What the signed offline policies allow here and now: for paths of an organization, for channels of a resource, and for
 * channels that are open already. One desk per process; everybody who opens, agrees to or carries something asks it.
 *
 * OD1. A channel ends, at both edges, within `limits.offlineLookMs` of when its resource's policy ends it, also where
 *      paths stay because another resource of the organization needs them.
 * OD2. Everything is read from the snapshot in force, so a policy that changes changes what is open.
 * OD3. Paths are cut `limits.offlinePathLingerMs` after their time, so that the ends of channels still get through to edges
 *      that know no policy. Nothing new is agreed to in that time.
 */

import {
  boundsFromWire,
  boundsOf,
  type OfflineBounds,
  type OfflineFacts,
  type OfflineTerms,
  type OfflineVerdict,
  offlineVerdict,
  termsOf,
  widest,
} from "../fabric/offline.ts";
import { ChannelEnd, type ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { OfflineMode } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { OfflineClock } from "./offline-clock.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

/** What a desk is asked. */
export interface OfflineJudge {
  /** Of paths of an organization; of none: of paths that measure. */
  path(organizationId: string): OfflineVerdict;
  /** Whether paths of an organization are to be cut: a moment after they may no longer be there (OD3). */
  cutsPaths(organizationId: string): boolean;
  channel(resourceId: string): OfflineVerdict;
  /** Ends the channel when its resource's policy does (OD1). */
  hold(channel: HeldChannel, about: HeldFor): void;
}

/** What of a channel the desk needs. */
export interface HeldChannel {
  readonly destroyed: boolean;
  once(event: "close", listener: () => void): unknown;
  abort(end: ChannelEnd, stage: ChannelStage): void;
}

export interface HeldFor {
  readonly resourceId: string;
  readonly stage: ChannelStage;
  /** A path, which ends a moment later than the channels on it (OD3). */
  readonly isPath?: boolean;
}

export interface OfflineState {
  readonly organizationId: string;
  readonly resourceId: string;
  /** UNSPECIFIED for paths. */
  readonly mode: OfflineMode;
  readonly verdict: OfflineVerdict;
}

export interface OfflineView {
  readonly newestFeedMs: number;
  readonly staleMs: number;
  readonly offline: boolean;
  readonly states: readonly OfflineState[];
}

type DeskPorts = Pick<DataPlanePorts, "identity" | "snapshot" | "feed" | "clock" | "log" | "events">;

/** The policies of one snapshot, ready to be asked. */
interface Policies {
  readonly snapshot: Snapshot;
  readonly terms: OfflineTerms;
  readonly whole: OfflineBounds;
  readonly paths: ReadonlyMap<string, OfflineBounds>;
  readonly resources: ReadonlyMap<string, OfflineTerms>;
  /** Of paths that belong to nobody: as long as anything goes on here. */
  readonly any: OfflineBounds;
}

const nothing: OfflineVerdict = { newChannels: false, existing: false, newUntilMs: 0, existingUntilMs: 0 };

function policiesOf(snapshot: Snapshot): Policies {
  const terms = termsOf(snapshot.offline);
  const whole = boundsOf(terms);
  const paths = new Map(snapshot.pathOffline.map((row) => [row.organizationId, boundsFromWire(row)]));
  const resources = new Map(snapshot.resourceOffline.map((row) => [row.resourceId, termsOf(row.policy)]));
  const any = widest([whole, ...paths.values()]) ?? whole;
  return { snapshot, terms, whole, paths, resources, any };
}

/** Bounds of the connections below channels with these (OD3). */
function lingering({ newForMs, existingForMs }: OfflineBounds): OfflineBounds {
  return { newForMs, existingForMs: existingForMs + limits.offlinePathLingerMs };
}

function pathIn({ any, whole, paths }: Policies, organizationId: string): OfflineBounds {
  return organizationId === "" ? any : (paths.get(organizationId) ?? whole);
}

function channelIn({ whole, resources }: Policies, resourceId: string): OfflineBounds {
  const own = resources.get(resourceId);
  return own === undefined ? whole : boundsOf(own);
}

export class OfflineDesk implements OfflineJudge {
  readonly #ports: DeskPorts;
  readonly #clock: OfflineClock;
  readonly #held = new Map<string, Map<HeldChannel, HeldFor>>();
  #policies: Policies | undefined;
  #looking: Timer | undefined;
  #isSaid = false;

  /** `stateDir`: where staleness outlives a restart; absent: nowhere. */
  constructor(ports: DeskPorts, stateDir?: string) {
    this.#ports = ports;
    const { clock, log, snapshot } = ports;
    const newestSignedMs = (): number => snapshot.newestSignedMs();
    this.#clock = new OfflineClock({ clock, log, newestSignedMs, ...(stateDir === undefined ? {} : { stateDir }) });
    // The count goes on, and is kept, also while nobody asks.
    if (stateDir !== undefined) this.#looking = clock.every(limits.offlineLookMs, () => this.look());
  }

  path(organizationId: string): OfflineVerdict {
    return this.#judge((policies) => pathIn(policies, organizationId));
  }

  channel(resourceId: string): OfflineVerdict {
    return this.#judge((policies) => channelIn(policies, resourceId));
  }

  cutsPaths(organizationId: string): boolean {
    return !this.#judge((policies) => lingering(pathIn(policies, organizationId))).existing;
  }

  hold(channel: HeldChannel, about: HeldFor): void {
    if (channel.destroyed) return;
    const { resourceId } = about;
    const channels = this.#held.get(resourceId) ?? new Map<HeldChannel, HeldFor>();
    this.#held.set(resourceId, channels);
    channels.set(channel, about);
    this.#looking ??= this.#ports.clock.every(limits.offlineLookMs, () => this.look());
    channel.once("close", () => {
      channels.delete(channel);
      if (channels.size === 0 && this.#held.get(resourceId) === channels) this.#held.delete(resourceId);
    });
  }

  /** Ends the channels whose time is over (OD1). */
  look(): void {
    this.#now();
    for (const [resourceId, channels] of [...this.#held]) {
      if (this.channel(resourceId).existing) continue;
      const cutsPaths = !this.#judge((policies) => lingering(channelIn(policies, resourceId))).existing;
      const over = [...channels].filter(([, { isPath }]) => isPath !== true || cutsPaths);
      if (over.length === 0) continue;
      this.#ports.log.info("ended by the offline policy", { resource: resourceId, count: over.length });
      for (const [channel, { stage }] of over) channel.abort(ChannelEnd.OFFLINE, stage);
    }
  }

  /** What counts now and until when, for operators. */
  view(): OfflineView {
    const { policies, facts } = this.#now() ?? {};
    if (policies === undefined || facts === undefined)
      return { newestFeedMs: 0, staleMs: 0, offline: true, states: [] };
    const staleMs = Math.max(0, facts.nowMs - facts.newestFeedMs);
    const of = (bounds: OfflineBounds): OfflineVerdict => offlineVerdict(bounds, facts);
    const { terms, whole, paths, resources } = policies;
    const states: OfflineState[] = [
      { organizationId: "", resourceId: "", mode: shownMode(terms), verdict: of(whole) },
      ...[...paths].map(([organizationId, bounds]) => {
        const verdict = of(bounds);
        return { organizationId, resourceId: "", mode: OfflineMode.UNSPECIFIED, verdict };
      }),
      ...[...resources].map(([resourceId, own]) => {
        return { organizationId: "", resourceId, mode: shownMode(own), verdict: of(boundsOf(own)) };
      }),
    ];
    return { newestFeedMs: facts.newestFeedMs, staleMs, offline: staleMs >= limits.offlineSaidAfterMs, states };
  }

  close(): void {
    this.#looking?.cancel();
    this.#held.clear();
  }

  #judge(boundsIn: (policies: Policies) => OfflineBounds): OfflineVerdict {
    const now = this.#now();
    return now === undefined ? nothing : offlineVerdict(boundsIn(now.policies), now.facts);
  }

  #now(): { readonly policies: Policies; readonly facts: OfflineFacts } | undefined {
    const { snapshot, feed, identity } = this.#ports;
    const current = snapshot.current();
    if (current === undefined) return undefined;
    if (this.#policies?.snapshot !== current) this.#policies = policiesOf(current);
    const heardMs = feed.newestIssuedMs();
    const newestFeedMs = heardMs === 0 ? Number(current.issuedAtMs) : heardMs;
    const facts = {
      newestFeedMs,
      snapshotNotAfterMs: Number(current.notAfterMs),
      leafNotAfterMs: identity.current().leaf.notAfterMs,
      nowMs: this.#clock.nowMs(newestFeedMs),
    };
    this.#say(facts);
    return { policies: this.#policies, facts };
  }

  /** Once when feeds begin to be missing, once when they are there again. */
  #say({ nowMs, newestFeedMs }: OfflineFacts): void {
    const isOffline = nowMs - newestFeedMs >= limits.offlineSaidAfterMs;
    if (isOffline === this.#isSaid) return;
    this.#isSaid = isOffline;
    this.#ports.events.emit(isOffline ? "offline" : "online", { newest_feed_ms: String(newestFeedMs) });
  }
}

function shownMode({ mode }: OfflineTerms): OfflineMode {
  return mode === OfflineMode.UNSPECIFIED ? OfflineMode.CONTINUE_FOR : mode;
}
