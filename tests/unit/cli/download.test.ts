import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { download, numberedBytes } from "../../../cli/up/download.ts";

const server = createServer((request, response) => {
  void download(new URL(request.url ?? "/", "http://web").searchParams, response);
});
let base = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/download`;
});
afterAll(() => void server.close());

it("the bytes are the same whatever pieces they come in", () => {
  const whole = numberedBytes(0, 1_000).toString();
  expect(whole.slice(0, 32)).toBe("000000000000000\n000000000000001\n");
  expect(numberedBytes(0, 37).toString() + numberedBytes(37, 40).toString() + numberedBytes(40, 1_000)).toBe(whole);
});

it("a download is as long as asked for, announced, and takes its time", async () => {
  const startedMs = performance.now();
  const response = await fetch(`${base}?bytes=100003&rate=400000`);
  expect(response.headers.get("content-length")).toBe("100003");
  expect(await response.text()).toBe(numberedBytes(0, 100_003).toString());
  expect(performance.now() - startedMs).toBeGreaterThan(150);
});

it.each(["bytes=0", "bytes=-1", "bytes=x", "bytes=99999999999", "rate=0", "rate=1e9", "bytes="])(
  "%s is refused",
  async (query) => {
    const response = await fetch(`${base}?${query}`);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("bytes a second");
  },
);
