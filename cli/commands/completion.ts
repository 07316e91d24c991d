/** `weft completion`: what a shell needs to complete commands and flags. */

import { Argument, type Command } from "commander";
import { completionScript, type Shell, shells } from "../completion.ts";
import { print } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

/** `whole` makes the tree with everything in it: the one a command runs in holds little more than itself. */
export function completionCommand(whole: () => Promise<Command>): (program: Command) => void {
  const completion = async (options: GlobalOptions, shell: Shell): Promise<void> => {
    const script = completionScript(await whole(), shell);
    print(options, { shell, script }, () => script);
  };
  return (program) => {
    program
      .command("completion")
      .description("print what a shell needs to complete commands and flags")
      .addArgument(new Argument("<shell>").choices(shells))
      .addHelpText(
        "after",
        "\nExamples:\n  weft completion bash\n  weft completion fish\n\nFor good: source <(weft completion bash) in ~/.bashrc, the same with zsh in ~/.zshrc; for fish in\n~/.config/fish/completions/weft.fish.",
      )
      .action(action(completion));
  };
}
