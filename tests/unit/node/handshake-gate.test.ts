import { expect, it } from "vitest";
import { HandshakeGate, type Leave } from "../../../node/handshake-gate.ts";

function gate() {
  const bounds = {
    inFlightMaxCount: 4,
    strangersMaxCount: 3,
    perSourceMaxCount: 2,
    waitingPerSourceMaxCount: 1,
    waitingMaxCount: 2,
  };
  const opened = new HandshakeGate(bounds);
  const inside = new Map<string, Leave>();
  const stranger = (name: string, address: string): boolean =>
    opened.enterStranger(address, (leave) => void inside.set(name, leave));
  const invited = (name: string): boolean => opened.enterInvited((leave) => void inside.set(name, leave));
  const names = (): string[] => [...inside.keys()];
  const leave = (name: string): void => inside.get(name)?.();
  return { opened, stranger, invited, names, leave };
}

it("LAW-R3 one source has its share of handshakes, its others wait, and few of them", () => {
  const { stranger, names, leave } = gate();
  expect([stranger("a", "203.0.113.1"), stranger("b", "203.0.113.2")]).toEqual([true, true]);
  expect(stranger("c", "203.0.113.3")).toBe(true);
  expect(stranger("d", "203.0.113.4")).toBe(false);
  expect(stranger("e", "198.51.100.1")).toBe(true);
  expect(names()).toEqual(["a", "b", "e"]);
  leave("e");
  expect(names()).toEqual(["a", "b", "e"]);
  leave("a");
  leave("a");
  expect(names()).toEqual(["a", "b", "e", "c"]);
});

it("LAW-R3 strangers never take the places of links and paths", () => {
  const { opened, stranger, invited, names, leave } = gate();
  for (const [name, address] of [
    ["a", "192.0.2.1"],
    ["b", "198.51.100.1"],
    ["c", "203.0.113.1"],
  ] as const)
    stranger(name, address);
  expect(stranger("d", "233.252.0.1")).toBe(true);
  expect(names()).toEqual(["a", "b", "c"]);
  expect(invited("link")).toBe(true);
  expect(names()).toEqual(["a", "b", "c", "link"]);
  expect(invited("path")).toBe(true);
  leave("a");
  // Whoever was invited goes before the stranger that waits longer.
  expect(names()).toEqual(["a", "b", "c", "link", "path"]);
  leave("link");
  expect(names()).toEqual(["a", "b", "c", "link", "path", "d"]);
  expect(opened.inFlight).toBe(4);
});

it("no more wait than the bound", () => {
  const { invited } = gate();
  expect(["1", "2", "3", "4", "5", "6", "7"].map(invited)).toEqual([true, true, true, true, true, true, false]);
});
