import { describe, expect, it } from "vitest";
import {
  type EgressLocators,
  HANDLE_SALT_BYTES,
  LOCATOR_BYTES,
  makeHandle,
  readHandle,
} from "../../../../fabric/path/handle.ts";
import { systemRandom } from "../../../../lib/random.ts";

const bytes = (count: number): Uint8Array => systemRandom.bytes(count);
const egress = (egressNodeId: string): EgressLocators => ({
  egressNodeId,
  previous: bytes(LOCATOR_BYTES),
  current: bytes(LOCATOR_BYTES),
  next: bytes(LOCATOR_BYTES),
});
const known = [egress("nd-e1"), egress("nd-e2"), egress("nd-e3")];
const scope = { clientId: "ct-a", poolId: "pl-a" };
const handleTo = (at: number): Uint8Array => makeHandle(known[at] as EgressLocators, scope, bytes(HANDLE_SALT_BYTES));

describe("REVIEW-14 a resume handle", () => {
  it("leads back to its egress at every entry that knows the locators", () => {
    for (const at of [0, 1, 2])
      expect(readHandle(handleTo(at), scope, [...known].reverse())).toBe(known[at]?.egressNodeId);
  });

  it("is understood by entries whose snapshot is a day older or newer", () => {
    const [today] = known as [EgressLocators];
    const tomorrow = { ...today, previous: today.current, current: today.next, next: bytes(LOCATOR_BYTES) };
    expect(readHandle(makeHandle(today, scope, bytes(16)), scope, [tomorrow])).toBe("nd-e1");
    expect(readHandle(makeHandle(tomorrow, scope, bytes(16)), scope, [today])).toBe("nd-e1");
    const later = { ...today, previous: bytes(32), current: bytes(32), next: bytes(32) };
    expect(readHandle(makeHandle(today, scope, bytes(16)), scope, [later])).toBeUndefined();
  });

  it.each([
    ["another client", { ...scope, clientId: "ct-b" }],
    ["another pool", { ...scope, poolId: "pl-b" }],
    ["a client whose name runs into the pool's", { clientId: "ct-a-pl", poolId: "a" }],
  ])("is nothing for %s", (_what, other) => {
    expect(readHandle(handleTo(0), other, known)).toBeUndefined();
  });

  it("LAW-C3 has nothing in common with another one to the same egress, nor with any locator", () => {
    const handles = Array.from({ length: 64 }, () => Buffer.from(handleTo(0)));
    for (let at = 0; at < 32; at += 4) {
      expect(new Set(handles.map((handle) => handle.subarray(at, at + 4).toString("hex"))).size).toBeGreaterThan(60);
    }
    for (const { previous, current, next } of known) {
      for (const locator of [previous, current, next]) {
        for (const handle of handles) expect(handle.includes(Buffer.from(locator).subarray(0, 8))).toBe(false);
      }
    }
  });

  it.each([
    ["empty", new Uint8Array()],
    ["short", handleTo(0).subarray(1)],
    ["long", Buffer.concat([handleTo(0), Buffer.of(0)])],
    ["random", bytes(32)],
    ["a locator", known[0]?.current ?? bytes(32)],
  ])("that is %s leads nowhere", (_what, handle) => {
    expect(readHandle(handle, scope, known)).toBeUndefined();
  });

  it("changed in any byte leads nowhere", () => {
    const handle = handleTo(1);
    for (let at = 0; at < handle.length; at += 1) {
      const changed = Uint8Array.from(handle);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(readHandle(changed, scope, known)).toBeUndefined();
    }
  });
});
