/** `weft cert`: every certificate there is, who holds it, what a thief of it could do, and the end of one. */

import type { Command } from "commander";
import {
  type Certificate,
  CertificateService,
  type GetCertificateResponse,
  type RevokeCertificateResponse,
} from "../../gen/weft/admin/v1/certificate_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { durationMs, wholeNumber } from "../arguments.ts";
import { batchAction } from "../batch.ts";
import { addWaitOptions, type WaitOptions, type WaitOutcome, waitForFeeds, waitText } from "../feed-wait.ts";
import { actorName, enumName, groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, type Session, withSession } from "../session.ts";

interface ListOptions extends GlobalOptions {
  readonly kind?: string;
  readonly subject?: string;
  readonly status?: string;
  readonly expiring?: number;
  readonly limit?: number;
}

interface OneOptions extends GlobalOptions {
  readonly issuer?: string;
}

function who(certificate: Certificate): string {
  const { kind, subjectName, subjectId, holderId, holderName } = certificate;
  const subject = `${kind}/${subjectName || subjectId}`;
  return holderId === subjectId ? subject : `${subject} at ${holderName || holderId}`;
}

async function listCertificates(options: ListOptions): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(CertificateService).listCertificates({
      clusterId: await session.clusterId(),
      kind: options.kind ?? "",
      subject: options.subject ?? "",
      status: options.status ?? "",
      expiringWithinMs: BigInt(options.expiring ?? 0),
      limit: options.limit ?? 0,
    }),
  );
  print(options, answer, () => {
    const rows = answer.certificates.map((row) => [
      row.serial,
      who(row),
      row.status,
      row.acceptedBy.join(",") || "nobody",
      when(row.issuedAtMs),
      when(row.notAfterMs),
    ]);
    const text = table(["SERIAL", "OF", "STATUS", "BELIEVED BY", "ISSUED", "ENDS"], rows);
    return answer.truncated ? `${text}\nthere are more than these; narrow it down, or raise --limit` : text;
  });
}

/** "relay, egress for org-…": what a node, or the holder of a pool's certificate, may be. */
function rolesText({ roles }: GetCertificateResponse): string {
  const words = roles.map(({ role, organizationId }) => {
    const name = enumName(NodeRole, role);
    return organizationId === "" ? name : `${name} for ${organizationId}`;
  });
  return words.join(", ") || "none";
}

function shownRows(shown: GetCertificateResponse, certificate: Certificate): string[][] {
  const { kind, status } = certificate;
  const isNode = kind === "node" || kind === "pool";
  const beat = shown.holderBeatAgeMs === undefined ? "never" : `${shown.holderBeatAgeMs} ms ago`;
  return [
    ["serial", certificate.serial],
    ["issuer", certificate.issuerKeyId],
    ["of", who(certificate)],
    ["identity", certificate.spiffeId],
    ["identity is", shown.subjectStatus || "-"],
    ["status", status],
    ["believed by", certificate.acceptedBy.join(", ") || "nobody"],
    ["issued", when(certificate.issuedAtMs)],
    ["valid", `${when(certificate.notBeforeMs)} to ${when(certificate.notAfterMs)}`],
    ...(certificate.supersededAtMs === 0n ? [] : [["superseded", when(certificate.supersededAtMs)]]),
    ...(certificate.revokedAtMs === 0n ? [] : [["revoked", when(certificate.revokedAtMs)]]),
    ["key", certificate.keyHash],
    ["same key", shown.sameKey.map(({ serial }) => serial).join(", ") || "no other living certificate"],
    ...(isNode
      ? [
          ["roles", rolesText(shown)],
          ["pools", shown.poolIds.join(", ") || "none"],
          ["last beat", beat],
        ]
      : []),
    ...(shown.organizationId === "" ? [] : [["organization", shown.organizationId]]),
    ...shown.revokedBy.map((row) => [
      `revoked (${row.what})`,
      `${when(row.revokedAtMs)} by ${actorName(row.actor)}, feed ${row.feedEpoch}.${row.feedSeq}${row.reason === "" ? "" : `: ${row.reason}`}`,
    ]),
  ];
}

async function showCertificate(options: OneOptions, serial: string): Promise<void> {
  const shown = await withSession(options, async (session) =>
    session
      .client(CertificateService)
      .getCertificate({ clusterId: await session.clusterId(), serial, issuerKeyId: options.issuer ?? "" }),
  );
  print(options, shown, () => {
    const { certificate } = shown;
    return certificate === undefined ? "(none)" : table(["FIELD", "VALUE"], shownRows(shown, certificate));
  });
}

type Revoked = RevokeCertificateResponse & { readonly wait?: WaitOutcome };

async function revokeCertificate(
  session: Session,
  serial: string,
  options: OneOptions & WaitOptions & { readonly reason?: string },
): Promise<Revoked> {
  const about = { clusterId: await session.clusterId(), serial, issuerKeyId: options.issuer ?? "" };
  const revoked = await session
    .client(CertificateService)
    .revokeCertificate({ ...about, reason: options.reason ?? "" });
  const wait = await waitForFeeds(session, options, revoked.feeds);
  return { ...revoked, ...(wait === undefined ? {} : { wait }) };
}

function revokedText({ certificate, wait }: Revoked, serial: string): string {
  const of = certificate === undefined ? serial : `${certificate.serial} of ${who(certificate)}`;
  const rest = "its key and its identity are not: weft node revoke or weft identity revoke ends those";
  return `certificate ${of} is revoked; ${rest}${waitText(wait)}`;
}

export function addCertCommands(program: Command): void {
  const cert = program
    .command("cert")
    .description("certificates: who holds which, until when, and the end of one")
    .addHelpText("after", groupExamples("weft cert list", "weft cert show 1f2e", "weft cert revoke 1f2e --wait"));
  cert
    .command("list")
    .description("list certificates, the newest first; those that may act, unless told otherwise")
    .option("--kind <kind>", "node, control, client, pool or operator")
    .option("--subject <name>", "of this node, client, operator or pool, by name or id")
    .option("--status <status>", "live (default), current, next, superseded, revoked, expired or all")
    .option("--expiring <duration>", "only those that end within this: 90m, 8h", durationMs)
    .option("--limit <count>", "at most so many (default and most: 500)", wholeNumber(500))
    .addHelpText("after", "\nExample:\n  weft cert list --subject relay-1 --status all")
    .action(action(listCertificates));
  cert
    .command("show <serial>")
    .description("show one certificate: who believes it now, what its holder may do, what revokes it")
    .option("--issuer <id>", "hash of the issuer, where several used the serial")
    .addHelpText("after", "\nExample:\n  weft cert show 1f2e")
    .action(action(showCertificate));
  addWaitOptions(
    cert
      .command("revoke <serial...>")
      .description("revoke certificates for good; their keys and identities stay")
      .option("--issuer <id>", "hash of the issuer, where several used the serial")
      .option("--reason <text>", "for the audit log", ""),
  )
    .addHelpText("after", '\nExample:\n  weft cert revoke 1f2e --reason "copied" --wait')
    .action(batchAction({ work: revokeCertificate, text: revokedText }));
}
