/** `weft token`, `weft request`: how hosts are let in. */

import { writeFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { type JoinRequest, RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { TokenService } from "../../gen/weft/admin/v1/token_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { enumName, enumValue, print, table, when } from "../output.ts";
import { action, findOrganization, type GlobalOptions, type Session, withSession } from "../session.ts";
import { wholeNumber } from "../whole-number.ts";

/** `10m`, `90s`, `24h` or `1d` in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+)(ms|s|m|h|d)$/.exec(text);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const unit = units[match?.[2] ?? ""];
  if (match === null || unit === undefined) throw new InvalidArgumentError("write a number and a unit: 90s, 10m, 24h");
  return Number(match[1]) * unit;
}

/** Roles as people write them: `relay,entry`. */
export function parseRoles(text: string): NodeRole[] {
  return text.split(",").map((name) => enumValue(NodeRole, name.trim(), "role"));
}

export function addTokenCommands(program: Command): void {
  const token = program.command("token").description("join tokens");
  token
    .command("create")
    .description("create a join token; its text is shown once")
    .option("--roles <roles>", "roles a request may ask for, comma-separated (default: any)")
    .option("--organization <name>", "only for roles of this organization")
    .option("--life <duration>", "how long it may be used", parseDuration, 600_000)
    .option("--uses <count>", "how often it may be used", wholeNumber(limits.joinTokenUsesMaxCount), 1)
    .option("--out <file>", "write the text to a file (0600) instead of standard output")
    .addHelpText("after", "\nExample:\n  weft token create --roles relay --life 10m --out relay.token")
    .action(
      action(
        async (
          options: GlobalOptions & {
            roles?: string;
            organization?: string;
            life?: number;
            uses?: number;
            out?: string;
          },
        ) => {
          const answer = await withSession(options, async (session) =>
            session.client(TokenService).createToken({
              clusterId: await session.clusterId(),
              roles: options.roles === undefined ? [] : parseRoles(options.roles),
              organizationIds:
                options.organization === undefined ? [] : [(await findOrganization(session, options.organization)).id],
              lifeMs: BigInt(options.life ?? 600_000),
              maxUses: options.uses ?? 1,
            }),
          );
          if (options.out === undefined) return print(options, answer, () => answer.text);
          writeFileSync(options.out, `${answer.text}\n`, { mode: 0o600, flag: "wx" });
          print(
            options,
            { token: answer.token, file: options.out },
            () =>
              `token ${answer.token?.id} written to ${options.out}; it ends ${when(answer.token?.expiresAtMs ?? 0n)}`,
          );
        },
      ),
    );
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
            ["ID", "ROLES", "USED", "EXPIRES", "REVOKED", "BY"],
            answer.tokens.map((row) => [
              row.id,
              row.roles.map((role) => enumName(NodeRole, role)).join(",") || "any",
              `${row.usedCount}/${row.maxUses}`,
              when(row.expiresAtMs),
              when(row.revokedAtMs),
              row.createdBy,
            ]),
          ),
        );
      }),
    );
  token
    .command("revoke <id>")
    .description("revoke a join token")
    .addHelpText("after", "\nExample:\n  weft token revoke tk-abcdefgh")
    .action(
      action(async (options, tokenId: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(TokenService).revokeToken({ clusterId: await session.clusterId(), tokenId }),
        );
        print(options, answer, () => `token ${tokenId} is revoked`);
      }),
    );
}

/** Groups a key hash as joining nodes print it. */
function requestRows(requests: readonly JoinRequest[]): string[][] {
  return requests.map((row) => [
    row.id,
    row.nodeName,
    enumName(RequestState, row.state),
    row.requestedRoles.map(({ role }) => enumName(NodeRole, role)).join(","),
    row.dialOutOnly ? "dial-out only" : row.addresses.map(({ host, port }) => `${host}:${port}`).join(","),
    row.keyFingerprint,
    when(row.createdAtMs),
  ]);
}

async function getRequest(session: Session, requestId: string): Promise<JoinRequest> {
  const answer = await session.client(RequestService).getRequest({ clusterId: await session.clusterId(), requestId });
  if (answer.request === undefined)
    throw new WeftError("not_found", "there is no such request", { detail: "REQUEST_UNKNOWN" });
  return answer.request;
}

export function addRequestCommands(program: Command): void {
  const request = program.command("request").description("join requests");
  request
    .command("list")
    .description("list join requests")
    .option("--state <state>", "pending, approved, rejected or expired")
    .addHelpText("after", "\nExample:\n  weft request list --state pending")
    .action(
      action(async (options: GlobalOptions & { state?: string }) => {
        const state =
          options.state === undefined ? RequestState.UNSPECIFIED : enumValue(RequestState, options.state, "state");
        const answer = await withSession(options, async (session) =>
          session.client(RequestService).listRequests({ clusterId: await session.clusterId(), state }),
        );
        print(options, answer, () =>
          table(["ID", "NAME", "STATE", "ROLES", "ADDRESSES", "KEY", "CREATED"], requestRows(answer.requests)),
        );
      }),
    );
  request
    .command("show <id>")
    .description("show everything a request says; compare the key with what the node printed")
    .addHelpText("after", "\nExample:\n  weft request show 3kq…")
    .action(
      action(async (options, id: string) => {
        const row = await withSession(options, (session) => getRequest(session, id));
        print(options, { request: row }, () =>
          table(
            ["FIELD", "VALUE"],
            [
              ...["ID", "NAME", "STATE", "ROLES", "ADDRESSES", "KEY", "CREATED"].map((header, column) => [
                header.toLowerCase(),
                requestRows([row])[0]?.[column] ?? "",
              ]),
              ["region", row.region],
              ["reason", row.reason],
              ...Object.entries(row.facts).map(([key, value]) => [`fact ${key}`, value]),
            ],
          ),
        );
      }),
    );
  request
    .command("approve <id>")
    .description("approve a request exactly as it stands")
    .option("--fingerprint <text>", "fail unless the request's key has this fingerprint")
    .option("--roles <roles>", "roles to assign (default: those asked for)")
    .option("--name <name>", "name to give (default: the one asked for)")
    .addHelpText("after", '\nExample:\n  weft request approve 3kq… --fingerprint "1a2b 3c4d 5e6f 7a8b 9c0d"')
    .action(
      action(async (options: GlobalOptions & { fingerprint?: string; roles?: string; name?: string }, id: string) => {
        const answer = await withSession(options, async (session) => {
          const seen = await getRequest(session, id);
          if (
            options.fingerprint !== undefined &&
            options.fingerprint.replaceAll(" ", "") !== seen.keyFingerprint.replaceAll(" ", "")
          ) {
            throw new WeftError(
              "failed_precondition",
              `the request's key is ${seen.keyFingerprint}, not ${options.fingerprint}`,
              { detail: "FINGERPRINT_DIFFERS" },
            );
          }
          return await session.client(RequestService).approveRequest({
            clusterId: seen.clusterId,
            requestId: id,
            keyHash: seen.keyHash,
            addresses: seen.addresses,
            roles:
              options.roles === undefined ? seen.requestedRoles : parseRoles(options.roles).map((role) => ({ role })),
            name: options.name ?? seen.nodeName,
          });
        });
        print(options, answer, () => `approved: node ${answer.request?.nodeName} has id ${answer.request?.nodeId}`);
      }),
    );
  request
    .command("reject <id>")
    .description("reject a request")
    .requiredOption("--reason <text>", "told to the joining node")
    .addHelpText("after", '\nExample:\n  weft request reject 3kq… --reason "unknown host"')
    .action(
      action(async (options: GlobalOptions & { reason?: string }, requestId: string) => {
        const answer = await withSession(options, async (session) =>
          session
            .client(RequestService)
            .rejectRequest({ clusterId: await session.clusterId(), requestId, reason: options.reason ?? "" }),
        );
        print(options, answer, () => `rejected ${requestId}`);
      }),
    );
}
