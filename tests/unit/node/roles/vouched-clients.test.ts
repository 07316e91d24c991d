import { EventEmitter } from "node:events";
import { expect, it } from "vitest";
import type { EdgeChannel } from "../../../../edge/channel.ts";
import type { ChannelOpen } from "../../../../fabric/trunk/messages.ts";
import { ChannelEnd } from "../../../../gen/weft/channel/v1/channel_pb.ts";
import { OriginAssurance } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { VouchedClients } from "../../../../node/roles/vouched-clients.ts";
import { snapshotWith, testPorts } from "../stage.ts";

class Channel extends EventEmitter {
  destroyed = false;
  ended: ChannelEnd | undefined;

  abort(end: ChannelEnd): void {
    this.ended ??= end;
    this.destroyed = true;
    this.emit("close");
  }
}

function stage() {
  const client = { clientId: "ct-1", organizationId: "org-1" };
  const ports = testPorts(snapshotWith({ clients: [client] }));
  const vouched = new VouchedClients(ports);
  const hold = (over: object = {}): Channel => {
    const channel = new Channel();
    const origin = { assurance: OriginAssurance.ENTRY_ASSERTED, ...client, ...over };
    vouched.hold(channel as unknown as EdgeChannel, { origin } as unknown as ChannelOpen);
    return channel;
  };
  return { ports, vouched, hold };
}

it("LAW-I4 every channel of a client ends with its identity, of nobody else", () => {
  const { ports, vouched, hold } = stage();
  const own = [hold(), hold()];
  const anonymous = hold({ assurance: OriginAssurance.ANONYMOUS, clientId: "" });
  ports.revoked = ({ spiffe }) => spiffe === "spiffe://weft.test/cluster/cl-a/client/ct-1";
  ports.revokedChanged();
  expect(own.map(({ ended }) => ended)).toEqual([ChannelEnd.REVOKED, ChannelEnd.REVOKED]);
  expect(anonymous.ended).toBeUndefined();
  // What comes later is not taken at all.
  expect(hold().ended).toBe(ChannelEnd.REVOKED);
  vouched.close();
});

it("a client that left the snapshot, or is another organization's, loses its channels; one that stays keeps them", () => {
  const { ports, vouched, hold } = stage();
  const own = hold();
  expect(hold({ organizationId: "org-2" }).ended).toBe(ChannelEnd.REVOKED);
  ports.show(snapshotWith({ version: 2n, clients: [{ clientId: "ct-1", organizationId: "org-1" }] }));
  expect(own.ended).toBeUndefined();
  ports.show(snapshotWith({ version: 3n }));
  expect(own.ended).toBe(ChannelEnd.REVOKED);
  vouched.close();
  ports.show(snapshotWith({ version: 4n }));
});
