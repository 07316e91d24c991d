/** What an operator is told of the store beside a change of trust: which primary made it, and who has it already. */

import { StoreDriver, StoreService } from "../gen/weft/admin/v1/store_pb.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { safeText } from "./output.ts";
import type { Session } from "./session.ts";

export interface StoreMembersFacts {
  readonly driver: "embedded" | "postgres";
  readonly primary: boolean;
  readonly timeline: number;
  readonly epoch: number;
  readonly members: readonly { readonly name: string; readonly state: string; readonly inSync: boolean }[];
}

/** The change was made; what the store says of itself must not make it look otherwise. */
export type StoreMembers = StoreMembersFacts | { readonly unknown: string };

/** Asks control. Never rejects. */
export async function storeMembersOf(session: Session): Promise<StoreMembers> {
  try {
    const { status } = await session.client(StoreService).getStoreStatus({});
    if (status === undefined) throw new WeftError("internal", "control said nothing of its store");
    return {
      driver: status.driver === StoreDriver.POSTGRES ? "postgres" : "embedded",
      primary: status.primary,
      timeline: Number(status.timeline),
      epoch: Number(status.epoch),
      members: status.members.map(({ name, state, inSync }) => ({ name, state, inSync })),
    };
  } catch (thrown) {
    return { unknown: messageOf(thrown) };
  }
}

/** One line for people, to stand below what was done; empty for the embedded store, which has no members to know about. */
export function storeMembersText(store: StoreMembers): string {
  if ("unknown" in store) return `\nstore: unknown (${safeText(store.unknown)})`;
  if (store.driver === "embedded") return "";
  const names = (inSync: boolean): string => {
    const list = store.members.filter((member) => member.inSync === inSync).map(({ name }) => name || "unnamed");
    return list.length === 0 ? "none" : list.join(", ");
  };
  const others = names(false) === "none" ? "" : `; not in sync: ${names(false)}`;
  const what = store.primary ? "primary" : "not the primary";
  return `\n${safeText(`store: ${what}, timeline ${store.timeline}, epoch ${store.epoch}; in sync: ${names(true)}${others}`)}`;
}
