/** `weft request`: join requests, approved exactly as they were seen. */

import type { Command } from "commander";
import { type ApproveRequestResponse, type JoinRequest, RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { batchAction, runBatch } from "../batch.ts";
import { enumName, enumValue, groupExamples, print, table, when } from "../output.ts";
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

async function approve(session: Session, id: string, options: ApproveOptions): Promise<ApproveRequestResponse> {
  const { fingerprint } = options;
  const seen = await getRequest(session, id);
  if (fingerprint !== undefined && fingerprint.replaceAll(" ", "") !== seen.keyFingerprint.replaceAll(" ", "")) {
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

/** What is said of one request cannot be true of several. */
async function approveRequests(options: ApproveOptions, ids: string[]): Promise<void> {
  if (ids.length > 1 && (options.fingerprint !== undefined || options.name !== undefined))
    throw new WeftError("invalid_argument", "--fingerprint and --name are of one request; approve it by itself", {
      detail: "CLI_ONE_ONLY",
    });
  const text = ({ request }: ApproveRequestResponse): string =>
    `approved: node ${request?.nodeName} has id ${request?.nodeId}`;
  await runBatch({ work: approve, text }, options, ids);
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
    .description("approve requests exactly as they stand")
    .option("--fingerprint <text>", "fail unless the request's key has this fingerprint")
    .option("--roles <roles>", "roles to assign (default: those asked for)")
    .option("--name <name>", "name to give (default: the one asked for)")
    .addHelpText(
      "after",
      '\nExample:\n  weft request approve 3kq… --fingerprint "1a2b 3c4d 5e6f 7a8b 9c0d"\n  weft request approve 3kq… 7rd…',
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
