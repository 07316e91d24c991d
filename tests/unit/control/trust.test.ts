import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SealingKey } from "../../../certs/seal.ts";
import { canonicalJson, requireAuthentic, trustSeal } from "../../../control/store/trust.ts";
import { capabilities, roles } from "../../../control/store/vocabulary.ts";
import { NodeCapability, NodeRole } from "../../../gen/weft/fabric/v1/role_pb.ts";

describe("canonical JSON", () => {
  it("is one text for one value, whatever the order of its keys", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(turned)).toBe(canonicalJson(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    expect(canonicalJson({ b: undefined, a: [{ d: 1n, c: new Uint8Array([255]) }] })).toBe(
      '{"a":[{"c":"ff","d":"1"}]}',
    );
  });
});

describe("a trust row", () => {
  const seal = trustSeal(new SealingKey(new Uint8Array(32).fill(7)));
  it("REVIEW-16 is refused when any value, its order, its table or its key is another", () => {
    const mac = seal.mac("node", ["a", "bc", 5, null, true]);
    expect(() => requireAuthentic(seal, "node", ["a", "bc", 5, null, true], mac)).not.toThrow();
    const other = trustSeal(new SealingKey(new Uint8Array(32).fill(8)));
    expect(other.verify("node", ["a", "bc", 5, null, true], mac)).toBe(false);
    for (const fields of [
      ["ab", "c", 5, null, true],
      ["bc", "a", 5, null, true],
      ["a", "bc", "5", null, true],
      ["a", "bc", 5, "", true],
      ["a", "bc", 5, null],
    ]) {
      expect(() => requireAuthentic(seal, "node", fields, mac)).toThrow(
        expect.objectContaining({ detail: "TRUST_ROW_UNAUTHENTIC" }),
      );
    }
    expect(seal.verify("role", ["a", "bc", 5, null, true], mac)).toBe(false);
    expect(seal.verify("node", ["a", "bc", 5, null, true], null)).toBe(false);
  });
});

describe("the words of the store", () => {
  it("M-A5 exist for every role and capability of the contract, and lead back", () => {
    for (const value of Object.values(NodeRole).filter(
      (each) => typeof each === "number" && each !== 0,
    ) as NodeRole[]) {
      expect(roles.value(roles.text(value) ?? "")).toBe(value);
    }
    for (const value of Object.values(NodeCapability).filter(
      (each) => typeof each === "number" && each !== 0,
    ) as NodeCapability[]) {
      expect(capabilities.value(capabilities.text(value) ?? "")).toBe(value);
    }
    expect(roles.text(NodeRole.UNSPECIFIED)).toBeUndefined();
    expect(roles.value("constructor")).toBe(0);
  });
});
