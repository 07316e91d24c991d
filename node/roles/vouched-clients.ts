/**
 * Channels at the egress whose client an entry vouches for. The client's own connection is the entry's to cut; an egress
 * that hears of a revocation before the entry does ends the channels by itself (LAW-I4).
 *
 * VC1. A channel lives while its client is one of the organization in the own snapshot and its identity is not revoked:
 *      looked at when it opens, and at every change of snapshot and feed.
 */

import { formatSpiffe } from "../../certs/spiffe.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import { hasClient } from "../../fabric/members.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { Unsubscribe } from "../ports.ts";

type Ports = Pick<DataPlanePorts, "identity" | "snapshot" | "feed">;
type Vouched = Pick<EdgeChannel, "abort" | "destroyed" | "once">;

export class VouchedClients {
  readonly #ports: Ports;
  /** By client: its channels, with the organization each is for. */
  readonly #channels = new Map<string, Map<Vouched, string>>();
  readonly #stops: readonly Unsubscribe[];

  constructor(ports: Ports) {
    this.#ports = ports;
    const rejudge = (): void => this.rejudge();
    this.#stops = [ports.feed.onChange(rejudge), ports.snapshot.onChange(rejudge)];
  }

  /** Takes a channel on; ends it at once when its client may not have it. Channels nobody vouches for are left alone. */
  hold(channel: Vouched, { origin }: ChannelOpen): void {
    if (origin?.assurance !== OriginAssurance.ENTRY_ASSERTED || channel.destroyed) return;
    const { clientId, organizationId } = origin;
    const channels = this.#channels.get(clientId) ?? new Map<Vouched, string>();
    this.#channels.set(clientId, channels);
    channels.set(channel, organizationId);
    channel.once("close", () => {
      channels.delete(channel);
      if (channels.size === 0 && this.#channels.get(clientId) === channels) this.#channels.delete(clientId);
    });
    if (this.#lost(clientId, organizationId)) channel.abort(ChannelEnd.REVOKED, ChannelStage.EGRESS);
  }

  /** Judges every client again (VC1): one look for each and organization, however many channels it has. */
  rejudge(): void {
    for (const [clientId, channels] of [...this.#channels]) {
      const lost = new Set([...new Set(channels.values())].filter((each) => this.#lost(clientId, each)));
      if (lost.size === 0) continue;
      for (const [channel, organizationId] of [...channels])
        if (lost.has(organizationId)) channel.abort(ChannelEnd.REVOKED, ChannelStage.EGRESS);
    }
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #lost(clientId: string, organizationId: string): boolean {
    const { identity, snapshot, feed } = this.#ports;
    const current = snapshot.current();
    if (current === undefined || !hasClient(current, clientId, organizationId)) return true;
    const { trustDomain, clusterId } = identity.current();
    const spiffe = formatSpiffe({ trustDomain, clusterId, kind: "client", id: clientId });
    return feed.isRevoked({ issuerKeyIdHex: "", serialHex: "", keyHashHex: "", spiffe });
  }
}
