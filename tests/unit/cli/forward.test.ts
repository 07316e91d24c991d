import { expect, it } from "vitest";
import { forwardOf } from "../../../cli/commands/forward.ts";

it.each([
  ["8080:web", { port: 8_080, resource: "web" }],
  ["0:web", { port: 0, resource: "web" }],
  ["127.0.0.1:8080:web", { host: "127.0.0.1", port: 8_080, resource: "web" }],
  ["localhost:22:ssh-prod", { host: "localhost", port: 22, resource: "ssh-prod" }],
  ["[::1]:5432:db", { host: "::1", port: 5_432, resource: "db" }],
])("%s is a forward", (text, expected) => {
  expect(forwardOf(text)).toEqual(expected);
});

it.each(["web", "8080", "8080:", ":web", "70000:web", "8080:Web", "::1:8080:web", "a b:1:web", "8080:web:more"])(
  '"%s" is none',
  (text) => {
    expect(() => forwardOf(text)).toThrow(expect.objectContaining({ detail: "CLI_FORWARD" }));
  },
);
