/** The part of audited-rpcs.ts that is about authorities and certificates: a root goes half way and back, a signing key goes, a certificate ends. */

import { CaService } from "../../gen/weft/admin/v1/ca_pb.ts";
import { CertificateService } from "../../gen/weft/admin/v1/certificate_pb.ts";
import { RootKind, SigningPurpose } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { AuditedCase } from "./audited-case.ts";

export const auditedRotations: Readonly<Record<string, AuditedCase>> = {
  "weft.admin.v1.CaService/StartRotation": {
    call: ({ operator, clusterId }) => operator(CaService).startRotation({ clusterId, kind: RootKind.POOL }),
    ...{ action: "rotation.started", object: "rotation/", after: true },
  },
  "weft.admin.v1.CaService/ExemptFromRotation": {
    call: ({ operator, clusterId, ids }) =>
      operator(CaService).exemptFromRotation({
        ...{ clusterId, kind: RootKind.POOL, subjectId: ids.get("edge-1") ?? "", reason: "in repair" },
      }),
    ...{ action: "rotation.exempted", object: "rotation/", after: true },
  },
  "weft.admin.v1.CaService/RollBackRotation": {
    call: ({ operator, clusterId }) =>
      operator(CaService).rollBackRotation({ clusterId, kind: RootKind.POOL, reason: "not now" }),
    ...{ action: "rotation.rolled_back", object: "rotation/", before: true, after: true },
  },
  "weft.admin.v1.CaService/AdvanceRotation": {
    call: ({ operator, clusterId }) => operator(CaService).advanceRotation({ clusterId, kind: RootKind.POOL }),
    ...{ action: "rotation.advanced", object: "rotation/", before: true, after: true },
  },
  "weft.admin.v1.CaService/RotateSigningKey": {
    call: ({ operator, clusterId }) =>
      operator(CaService).rotateSigningKey({ clusterId, purpose: SigningPurpose.CONTRACT }),
    ...{ action: "signing_key.rotated", object: "signing-key/", before: true, after: true },
  },
  "weft.admin.v1.CertificateService/RevokeCertificate": {
    async call({ operator, clusterId }) {
      const client = operator(CertificateService);
      const { certificates } = await client.listCertificates({
        clusterId,
        subject: "edge-1",
        kind: "node",
        status: "all",
      });
      const serial = certificates.find(({ status }) => status !== "revoked")?.serial ?? "";
      await client.revokeCertificate({ clusterId, serial, reason: "copied" });
    },
    ...{ action: "certificate.revoked", object: "node/", before: true, after: true },
  },
};
