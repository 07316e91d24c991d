/** `weft request`: join requests, approved exactly as they were seen. */

import type { Command } from "commander";
import { type ApproveRequestResponse, type JoinRequest, RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { batchAction, runBatch } from "../batch.ts";
import { enumName, enumValue, groupExamples, print, safeText, table, when } from "../output.ts";
import { rolesOf } from "../role-names.ts";
import { action, type GlobalOptions, type Session, withSession } from "../session.ts";

const requestHeaders = ["ID", "NAME", "STATE", "ROLES", "ADDRESSES", "KEY", "CREATED"] as const;

/** One line per request; the key as joining nodes print it. */
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

async function showRequest(options: GlobalOptions, id: string): Promise<void> {
  const row = await withSession(options, (session) => getRequest(session, id));
  const [cells = []] = requestRows([row]);
  print(options, { request: row }, () =>
    table(
      ["FIELD", "VALUE"],
      [
        ...requestHeaders.map((header, column) => [header.toLowerCase(), cells[column] ?? ""]),
        ["region", row.region],
        ["reason", row.reason],
        ...Object.entries(row.facts).map(([key, value]) => [`fact ${key}`, value]),
      ],
    ),
  );
}

interface ApproveOptions extends GlobalOptions {
  readonly fingerprint?: string;
  readonly roles?: string;
  readonly name?: string;
}

/** Whether what somebody read out, with or without dashes and spaces and in whatever case, is the fingerprint of a request. */
export function isSameFingerprint(said: string, fingerprint: string): boolean {
  const digits = (text: string): string => text.replaceAll(/[\s-]/g, "").toLowerCase();
  return digits(said) === digits(fingerprint);
}

async function approve(session: Session, id: string, options: ApproveOptions): Promise<ApproveRequestResponse> {
  const { fingerprint } = options;
  const seen = await getRequest(session, id);
  if (fingerprint !== undefined && !isSameFingerprint(fingerprint, seen.keyFingerprint)) {
    throw new WeftError("failed_precondition", `the request's key is ${seen.keyFingerprint}, not ${fingerprint}`, {
      detail: "FINGERPRINT_DIFFERS",
    });
  }
  return await session.client(RequestService).approveRequest({
    clusterId: seen.clusterId,
    requestId: id,
    keyHash: seen.keyHash,
    addresses: seen.addresses,
    roles: options.roles === undefined ? seen.requestedRoles : rolesOf(options.roles).map((role) => ({ role })),
    name: options.name ?? seen.nodeName,
  });
}

/** What is told of a request that was approved; that nobody compared its key is told too. */
export function approvedText(
  { request }: ApproveRequestResponse,
  { fingerprint }: Pick<ApproveOptions, "fingerprint">,
): string {
  const compared = fingerprint === undefined ? "not compared (see --fingerprint)" : "as given";
  return safeText(
    `approved: node ${request?.nodeName} has id ${request?.nodeId}; its key is ${request?.keyFingerprint}, ${compared}`,
  );
}

/** What is said of one request cannot be true of several: no key may seem compared that was not. */
async function approveRequests(options: ApproveOptions, ids: string[]): Promise<void> {
  const ofOne = (["fingerprint", "name"] as const).find((flag) => options[flag] !== undefined);
  if (ids.length > 1 && ofOne !== undefined)
    throw new WeftError(
      "invalid_argument",
      `--${ofOne} is of one request, and ${ids.length} are named: nothing was approved; approve each by itself with its own --${ofOne}`,
      { detail: "CLI_ONE_ONLY" },
    );
  await runBatch({ work: approve, text: (answer) => approvedText(answer, options) }, options, ids);
}

export function addRequestCommands(program: Command): void {
  const request = program
    .command("request")
    .description("join requests")
    .addHelpText("after", groupExamples("weft request list --state pending"));
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
        print(options, answer, () => table(requestHeaders, requestRows(answer.requests)));
      }),
    );
  request
    .command("show <id>")
    .description("show everything a request says; compare the key with what the node printed")
    .addHelpText("after", "\nExample:\n  weft request show 3kq…")
    .action(action(showRequest));
  request
    .command("approve <id...>")
    .description("approve requests exactly as they stand; compare each key with what its host printed")
    .option(
      "--fingerprint <text>",
      "of one request: refuse it unless its key has this fingerprint (default: not compared)",
    )
    .option("--roles <roles>", "roles to assign (default: those asked for)")
    .option("--name <name>", "name to give (default: the one asked for)")
    .addHelpText(
      "after",
      "\nThe joining host prints its key's fingerprint. Get it over another channel (its console, ssh, a call) and pass it: then a\nstranger who asks in that host's place, with a token that leaked, is not let in. --fingerprint is optional and of one request;\nseveral at once are approved without any comparison but your own with \"weft request list\".\n\nExamples:\n" +
        '  weft request approve 3kq… --fingerprint "adfa-9e2c-0b17-4d5e-88f0"\n  weft request approve 3kq… 7rd…',
    )
    .action(action(approveRequests));
  request
    .command("reject <id...>")
    .description("reject requests")
    .requiredOption("--reason <text>", "told to the joining nodes")
    .addHelpText("after", '\nExample:\n  weft request reject 3kq… --reason "unknown host"')
    .action(
      batchAction({
        work: async (session, requestId, { reason = "" }: GlobalOptions & { reason?: string }) =>
          session.client(RequestService).rejectRequest({ clusterId: await session.clusterId(), requestId, reason }),
        text: (_answer, requestId) => `rejected ${requestId}`,
      }),
    );
}
