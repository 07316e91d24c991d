import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { reasons, WeftError } from "../../../lib/errors.ts";
import { codeOf, errorTrailers, fromConnectError, reasonOf, toConnectError } from "../../../rpc/errors.ts";

describe("errors on the wire", () => {
  test("every reason has its own code and comes back", () => {
    expect(new Set(reasons.map(codeOf)).size).toBe(reasons.length);
    for (const reason of reasons) expect(reasonOf(codeOf(reason))).toBe(reason);
    expect(reasonOf(Code.Unknown)).toBe("internal");
  });

  test.each(reasons)("%s keeps detail, message, retry and metadata, and loses its cause", (reason) => {
    const cause = new Error("select secret from /srv/key.pem");
    const sent = new WeftError(reason, "plain words", {
      detail: "A_DETAIL",
      retry: "now",
      metadata: { field: "x" },
      cause,
    });
    const trailers = errorTrailers(sent, "request1");
    const onWire = Buffer.from(String(trailers["grpc-status-details-bin"]), "base64").toString("latin1");
    expect(JSON.stringify(trailers) + onWire).not.toMatch(/secret|srv|pem/);
    const received = fromConnectError(toConnectError(sent, "request1"));
    expect(received).toMatchObject({
      reason,
      detail: "A_DETAIL",
      message: "plain words",
      retry: "now",
      metadata: { field: "x", requestId: "request1" },
    });
  });

  test("what the RPC library refuses itself carries its code's name for a detail, and the request's id", () => {
    const refused = new ConnectError("timeout 60000ms must be <= 30000", Code.InvalidArgument);
    expect(fromConnectError(toConnectError(refused, "request1"))).toMatchObject({
      reason: "invalid_argument",
      detail: "INVALID_ARGUMENT",
      message: "timeout 60000ms must be <= 30000",
      retry: "never",
      metadata: { requestId: "request1" },
    });
  });

  test("a connection that breaks under a call is no decision of the server: it may be tried again", () => {
    const lost = new ConnectError("read ECONNRESET", Code.Aborted);
    lost.cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect(fromConnectError(lost)).toMatchObject({ reason: "unavailable", detail: "CONNECTION_LOST", retry: "later" });
    expect(fromConnectError(new ConnectError("changed meanwhile", Code.Aborted)).reason).toBe("aborted");
  });

  test.each([
    new Error("boom at /srv/x.ts:1"),
    new TypeError("undefined is not a function"),
    "a string with a token weft1.abc",
    undefined,
    { password: "hunter2" },
    new ConnectError("oops /srv", Code.Internal),
    new ConnectError("oops /srv", Code.Unknown),
    Object.assign(new Error("x"), { code: "ECONNREFUSED", address: "10.0.0.1" }),
  ])("anything unexpected is internal and says nothing: %s", (thrown) => {
    const error = toConnectError(thrown, "request1");
    expect(error.code).toBe(Code.Internal);
    const trailers = errorTrailers(thrown, "request1");
    expect(trailers["grpc-message"]).toBe("internal%20error");
    const onWire = Buffer.from(String(trailers["grpc-status-details-bin"]), "base64").toString("latin1");
    expect(onWire).toContain("request1");
    expect(JSON.stringify(trailers) + onWire).not.toMatch(/boom|srv|function|weft1|hunter2|10\.0/);
  });
});
