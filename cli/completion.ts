/** What shells complete: scripts made of the command tree as it is. Values of options and names of things are left to the shell. */

import type { Command } from "commander";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A place in the tree, and what may follow there. */
interface Place {
  /** Words that lead there, without `weft`. */
  readonly path: readonly string[];
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly { readonly long: string; readonly about: string }[];
}

function placesOf(program: Command): Place[] {
  const places: Place[] = [];
  const visit = (command: Command, path: readonly string[]): void => {
    places.push({
      path,
      commands: command.commands.map((child) => ({ name: child.name(), about: child.description() })),
      flags: [
        ...command.options.flatMap(({ long, description, hidden }) =>
          long === undefined || long === null || hidden ? [] : [{ long, about: description }],
        ),
        { long: "--help", about: "what there is" },
      ],
    });
    for (const child of command.commands) visit(child, [...path, child.name()]);
  };
  visit(program, []);
  return places;
}

function bashScript(places: readonly Place[]): string {
  const cases = places.map(({ path, commands, flags }) => {
    const words = [...commands.map(({ name }) => name), ...flags.map(({ long }) => long)];
    return `    '${path.join(" ")}') echo '${words.join(" ")}' ;;`;
  });
  return `# weft completion; generated, do not edit
_weft_words() {
  case "$1" in
${cases.join("\n")}
  esac
}
_weft() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" next="" word="" i=1
  while [ "$i" -lt "$COMP_CWORD" ]; do
    word="\${COMP_WORDS[i]}"
    next="\${path:+$path }$word"
    [ -n "$(_weft_words "$next")" ] && path="$next"
    i=$((i + 1))
  done
  COMPREPLY=($(compgen -W "$(_weft_words "$path")" -- "$current"))
}
complete -o default -F _weft weft
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, flags }) => {
    const at = `complete -c weft -n ${quoted(`__weft_at ${path.join(" ")}`.trimEnd())}`;
    return [
      ...commands.map(({ name, about }) => `${at} -f -a ${name} -d ${quoted(about)}`),
      ...flags.map(({ long, about }) => `${at} -l ${long.replace(/^--/, "")} -d ${quoted(about)}`),
    ];
  });
  return `# weft completion; generated, do not edit
function __weft_at
  set -l words (commandline -opc)
  set -e words[1]
  set -l path (string match -v -- '-*' $words)
  test "$path" = "$argv"
end
${lines.join("\n")}
`;
}

/** The script a shell reads. */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program);
  if (shell === "fish") return fishScript(places);
  const script = bashScript(places);
  return shell === "bash"
    ? script
    : `autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n${script}`;
}
