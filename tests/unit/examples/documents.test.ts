/** What the documents of the example clients tell people to type is there: every command and every flag. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Language, languages } from "../../../examples/example-client.ts";

const folder = fileURLToPath(new URL("../../../examples/", import.meta.url));

/** Where a command of a client is, and what in it declares a flag. */
const sources: Readonly<Record<Language, { file: (command: string) => string; declares: (flag: string) => RegExp }>> = {
  go: { file: (command) => `go/${command}.go`, declares: (flag) => new RegExp(`flags\\.\\w+\\("${flag}"`) },
  python: { file: (command) => `python/${command}.py`, declares: (flag) => new RegExp(`add_argument\\("--${flag}"`) },
};

const shared: Readonly<Record<Language, string>> = { go: "go/dial.go", python: "python/dial.py" };

const read = (path: string): string => readFileSync(`${folder}${path}`, "utf8");

test.each(languages)(
  "the README of the client in %s names commands and flags that exist, and every command",
  (language) => {
    const lines = read(`${language}/README.md`).matchAll(
      /^\S*weft[-_]example(?:\.py)? (\w+)(.*)$|^\S+python \S+weft_example\.py (\w+)(.*)$/gm,
    );
    const commands = [...lines].map(([, go, goFlags, python, pythonFlags]) => ({
      command: go ?? python ?? "",
      flags: [...(goFlags ?? pythonFlags ?? "").matchAll(/ --?([a-z][a-z-]*)/g)].map(([, flag = ""]) => flag),
    }));
    expect(commands.map(({ command }) => command)).toEqual(["transfer", "refusals", "watch", "enroll"]);
    const { file, declares } = sources[language];
    const missing = commands.flatMap(({ command, flags }) => {
      const text = read(file(command)) + read(shared[language]);
      return flags.filter((flag) => !declares(flag).test(text)).map((flag) => `${command} has no ${flag}`);
    });
    expect(missing).toEqual([]);
    expect(commands.flatMap(({ flags }) => flags).length).toBeGreaterThan(6);
  },
);
