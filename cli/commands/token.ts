/** `weft token`: join tokens. A token's text is shown once, or goes into a file of mode 0600. */

import { existsSync } from "node:fs";
import type { Command } from "commander";
import { createSecretFile } from "../../certs/secret-file.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { durationMs, wholeNumber } from "../arguments.ts";
import { batchAction } from "../batch.ts";
import { actorName, enumName, groupExamples, print, table, when } from "../output.ts";
import { rolesOf } from "../role-names.ts";
import { action, findOrganization, type GlobalOptions, withSession } from "../session.ts";

interface CreateOptions extends GlobalOptions {
  readonly roles?: string;
  readonly organization?: string;
  readonly life?: number;
  readonly uses?: number;
  readonly out?: string;
  readonly autoApprove?: boolean;
  readonly namePrefix?: string;
}

async function createToken(options: CreateOptions): Promise<void> {
  const { out } = options;
  if (out !== undefined && existsSync(out))
    throw new WeftError("already_exists", `${out} exists; name another file`, { detail: "CLI_FILE_EXISTS" });
  const answer = await withSession(options, async (session) =>
    session.client(TokenService).createToken({
      clusterId: await session.clusterId(),
      roles: options.roles === undefined ? [] : rolesOf(options.roles),
      organizationIds:
        options.organization === undefined ? [] : [(await findOrganization(session, options.organization)).id],
      lifeMs: BigInt(options.life ?? 600_000),
      maxUses: options.uses ?? 1,
      autoApprove: options.autoApprove === true,
      namePrefix: options.namePrefix ?? "",
    }),
  );
  if (out === undefined) return print(options, answer, () => answer.text);
  createSecretFile(out, `${answer.text}\n`);
  const { token } = answer;
  print(
    options,
    { token, file: out },
    () => `token ${token?.id} written to ${out}; it ends ${when(token?.expiresAtMs ?? 0n)}`,
  );
}

export function addTokenCommands(program: Command): void {
  const token = program
    .command("token")
    .description("join tokens")
    .addHelpText(
      "after",
      groupExamples("weft token list", "weft token create --roles relay --life 10m --out relay.token"),
    );
  token
    .command("create")
    .description("create a join token; its text is shown once")
    .option("--roles <roles>", "roles a request may ask for, comma-separated (default: any)")
    .option("--organization <name>", "only for roles of this organization")
    .option("--life <duration>", "how long it may be used (default: 10m)", durationMs)
    .option("--uses <count>", "how often it may be used", wholeNumber(limits.joinTokenUsesMaxCount), 1)
    .option("--name-prefix <prefix>", "only hosts whose name begins so")
    .option(
      "--auto-approve",
      "approve its requests as they come; needs --roles and --name-prefix, at most 1h, 100 uses",
    )
    .option("--out <file>", "write the text to a file (0600) instead of standard output")
    .addHelpText("after", "\nExample:\n  weft token create --roles relay --life 10m --out relay.token")
    .action(action(createToken));
  token
    .command("list")
    .description("list join tokens (never their text)")
    .addHelpText("after", "\nExample:\n  weft token list --json")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(TokenService).listTokens({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["ID", "ROLES", "APPROVES", "USED", "EXPIRES", "REVOKED", "BY"],
            answer.tokens.map((row) => [
              row.id,
              row.roles.map((role) => enumName(NodeRole, role)).join(",") || "any",
              row.autoApprove ? `itself, ${row.namePrefix}*` : "operator",
              `${row.usedCount}/${row.maxUses}`,
              when(row.expiresAtMs),
              when(row.revokedAtMs),
              actorName(row.createdBy),
            ]),
          ),
        );
      }),
    );
  token
    .command("revoke <id...>")
    .description("revoke join tokens")
    .addHelpText("after", "\nExample:\n  weft token revoke tk-abcdefgh")
    .action(
      batchAction({
        work: async (session, tokenId) =>
          session.client(TokenService).revokeToken({ clusterId: await session.clusterId(), tokenId }),
        text: (_answer, tokenId) => `token ${tokenId} is revoked`,
      }),
    );
}
