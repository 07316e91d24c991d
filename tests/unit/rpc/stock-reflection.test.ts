/** What a stock gRPC client learns of a surface by reflection, over real TLS. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { credentials, makeGenericClientConstructor, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LeafOf } from "../../../certs/material.ts";
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { LeaseService } from "../../../gen/weft/lease/v1/lease_pb.ts";
import { HealthState } from "../../../rpc/health.ts";
import { type ServedSurface, serveSurface } from "../../harness/served-surface.ts";
import { TestTrust } from "../../harness/trust.ts";
import { echoBatches, twoServices } from "../../harness/two-services.ts";

const routes = (router: ConnectRouter): void => {
  router.service(LeaseService, {});
  echoBatches(router);
};

let trust: TestTrust;
let node: LeafOf<"node">;
let served: ServedSurface;

beforeAll(async () => {
  trust = await TestTrust.create();
  node = await trust.leaf("node", "nd-1");
  const health = new HealthState();
  served = await serveSurface(trust, { arrivedBy: "control", routes, policy: twoServices, health, reflection: true });
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
});

describe("a stock grpc-js client", () => {
  const plain = () =>
    credentials.createSsl(
      Buffer.from(trust.ca("control").root.pem),
      Buffer.from(node.keyPem),
      Buffer.from(node.certificatePem),
    );

  for (const version of ["v1", "v1alpha"]) {
    test(`reflection ${version} lists what this surface serves, with every file needed`, async () => {
      const Reflection = makeGenericClientConstructor(
        {
          info: {
            path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
            requestStream: true,
            responseStream: true,
            requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
            requestDeserialize: (bytes: Buffer) => bytes,
            responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
            responseDeserialize: (bytes: Buffer) => bytes,
          },
        },
        "Reflection",
      );
      const client = new Reflection(`localhost:${served.port}`, plain());
      const ask = (messageRequest: {
        case: "listServices" | "fileContainingSymbol" | "fileByFilename";
        value: string;
      }) =>
        new Promise<ReturnType<typeof parse>>((resolve, reject) => {
          const call = (client["info"] as () => import("@grpc/grpc-js").ClientDuplexStream<Uint8Array, Buffer>).call(
            client,
          );
          call.on("data", (bytes) => resolve(parse(bytes)));
          call.on("error", reject);
          call.write(
            toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { messageRequest })),
          );
          call.end();
        });
      const parse = (bytes: Buffer) => fromBinary(ServerReflectionResponseSchema, bytes).messageResponse;

      const listed = await ask({ case: "listServices", value: "" });
      expect(listed.case === "listServicesResponse" && listed.value.service.map(({ name }) => name)).toEqual([
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "weft.channel.v1.ChannelService",
        "weft.lease.v1.LeaseService",
      ]);
      const file = await ask({ case: "fileContainingSymbol", value: "weft.lease.v1.LeaseService.Acquire" });
      const files =
        file.case === "fileDescriptorResponse"
          ? file.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
          : [];
      const names = files.map(({ name }) => name);
      expect(names.at(-1)).toBe("weft/lease/v1/lease.proto");
      // Each after all it imports, or a client cannot build its types.
      for (const [at, { dependency }] of files.entries())
        expect(names.slice(0, at)).toEqual(expect.arrayContaining(dependency));
      const missing = await ask({ case: "fileContainingSymbol", value: "weft.admin.v1.NodeAdminService" });
      expect(missing.case === "errorResponse" && missing.value.errorCode).toBe(status.NOT_FOUND);
      client.close();
    });
  }
});
