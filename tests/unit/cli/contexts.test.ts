import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  changeContexts,
  chosenContext,
  contextsFile,
  readContexts,
  requireContextName,
} from "../../../cli/contexts.ts";
import { contextDir, organizationName } from "../../../cli/session.ts";
import { detailOf } from "../fabric/snapshot/stage.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-contexts-"));
  vi.stubEnv("XDG_CONFIG_HOME", folder);
  vi.stubEnv("WEFT_CONTEXT", "");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const prod = { folder: "/operators/prod", cluster: "east", organization: "acme", identity: "/clients/laptop" };
const lab = { folder: "/operators/lab" };
const both = async () => await changeContexts(() => ({ current: "lab", contexts: { prod, lab } }));

describe("named contexts", () => {
  it("are none without a file: then it is the folder at home", () => {
    expect(readContexts()).toEqual({ contexts: {} });
    expect(chosenContext(undefined)).toEqual({ folder: join(homedir(), ".weft") });
  });

  it("are chosen by the flag, then by WEFT_CONTEXT, then by being the current one", async () => {
    await both();
    expect(chosenContext(undefined)).toEqual({ name: "lab", ...lab });
    vi.stubEnv("WEFT_CONTEXT", "prod");
    expect(chosenContext(undefined)).toEqual({ name: "prod", ...prod });
    expect(chosenContext("lab")).toEqual({ name: "lab", ...lab });
    expect([contextDir({}), organizationName({}), organizationName({ organization: "other" })]).toEqual([
      ...["/operators/prod", "acme", "other"],
    ]);
  });

  it("leave folders what they were: a path is one, and so is what is there under no context's name", async () => {
    await both();
    for (const path of ["/a/b", "./prod", "../x", "."]) expect(chosenContext(path)).toEqual({ folder: path });
    const here = process.cwd();
    mkdirSync(join(folder, "mine"));
    writeFileSync(join(folder, "mine", "context.json"), "{}");
    process.chdir(folder);
    try {
      expect(chosenContext("mine")).toEqual({ folder: "mine" });
    } finally {
      process.chdir(here);
    }
  });

  it("are suggested when a name is nearly one", async () => {
    await both();
    expect(() => chosenContext("prd")).toThrow('there is no context "prd"; did you mean "prod"?');
    expect(() => chosenContext("something-else")).toThrow('"weft context list" shows them');
    expect(detailOf(() => requireContextName("a/b"))).toBe("CLI_NAME");
  });

  it("are none by a name that every object has", async () => {
    await both();
    for (const name of ["constructor", "toString", "valueOf"]) {
      expect(
        detailOf(() => chosenContext(name)),
        name,
      ).toBe("CONTEXT_UNKNOWN");
    }
    writeFileSync(contextsFile(), '{"current": "constructor", "contexts": {}}');
    expect(detailOf(() => readContexts())).toBe("CONTEXT_FILE_DAMAGED");
  });

  it("are kept in a file of one's own, and hold nothing but paths and names", async () => {
    await both();
    expect(statSync(contextsFile()).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(contextsFile())).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(contextsFile(), "utf8"))).toEqual({ current: "lab", contexts: { prod, lab } });
  });

  it.each([
    ["no JSON", "{"],
    ["no contexts", "{}"],
    ["a context without a folder", '{"contexts": {"a": {"cluster": "east"}}}'],
    ["a current one that is not there", '{"current": "b", "contexts": {}}'],
    ["a name that is none", '{"contexts": {"a/b": {"folder": "/x"}}}'],
  ])("are one loud error when the file holds %s, and a folder is used all the same", async (_what, text) => {
    await both();
    writeFileSync(contextsFile(), text);
    expect(() => chosenContext(undefined)).toThrow(`${contextsFile()} cannot be used: `);
    expect(detailOf(() => readContexts())).toBe("CONTEXT_FILE_DAMAGED");
    await expect(changeContexts((before) => before)).rejects.toMatchObject({ detail: "CONTEXT_FILE_DAMAGED" });
    expect(readFileSync(contextsFile(), "utf8")).toBe(text);
    expect(chosenContext("/a/folder")).toEqual({ folder: "/a/folder" });
  });

  it("are not believed when others may write them", async () => {
    await both();
    chmodSync(contextsFile(), 0o666);
    expect(() => readContexts()).toThrow("0600");
  });
});
