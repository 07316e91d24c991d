/**
 * grpc.reflection v1 and v1alpha, from the descriptors the code was generated from. A surface lists what it serves and
 * shows only the files that takes: a client's door says nothing about the mesh or the admin services. The messages that details of
 * errors are made of belong to every surface: no service names them, and whoever gets one wants to read it.
 */

import {
  create,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../gen/google/rpc/status_pb.ts";
import {
  type ServerReflectionRequest,
  ServerReflectionResponseSchema,
  ServerReflection as V1,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflection as V1Alpha,
  ServerReflectionRequestSchema as V1AlphaRequestSchema,
  ServerReflectionResponseSchema as V1AlphaResponseSchema,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";

type Question = ServerReflectionRequest["messageRequest"];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

interface Catalog {
  readonly services: readonly string[];
  readonly files: ReadonlyMap<string, DescFile>;
  readonly symbols: ReadonlyMap<string, DescFile>;
  readonly extensions: readonly DescExtension[];
}

/** Serves both versions on `router` for `services` (and reflection itself). */
export function registerReflection(router: ConnectRouter, services: ReadonlySet<DescService>): void {
  const catalog = catalogOf([...services, V1, V1Alpha]);
  router.service(V1, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        const messageResponse = answer(catalog, request.messageRequest);
        yield create(ServerReflectionResponseSchema, {
          validHost: request.host,
          originalRequest: request,
          messageResponse,
        });
      }
    },
  });
  router.service(V1Alpha, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        // The two versions have the same fields under the same numbers; only their packages differ.
        const messageResponse = answer(catalog, request.messageRequest as Question);
        yield create(V1AlphaResponseSchema, {
          validHost: request.host,
          originalRequest: create(V1AlphaRequestSchema, request),
          messageResponse: messageResponse as MessageInitShape<typeof V1AlphaResponseSchema>["messageResponse"] &
            object,
        });
      }
    },
  });
}

function answer(catalog: Catalog, question: Question): Answer {
  switch (question.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: catalog.services.map((name) => ({ name })) } };
    case "fileByFilename":
      return files(catalog.files.get(question.value), question.value);
    case "fileContainingSymbol":
      return files(catalog.symbols.get(question.value), question.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      const found = catalog.extensions.find(
        (extension) => extension.extendee.typeName === containingType && extension.number === extensionNumber,
      );
      return files(found?.file, `${containingType} ${extensionNumber}`);
    }
    case "allExtensionNumbersOfType": {
      const found = catalog.extensions.filter((extension) => extension.extendee.typeName === question.value);
      if (found.length === 0 && !catalog.symbols.has(question.value)) return missing(question.value);
      const extensionNumber = found.map((extension) => extension.number);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber } };
    }
    default:
      return { case: "errorResponse", value: { errorCode: Code.InvalidArgument, errorMessage: "no question" } };
  }
}

function missing(what: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: `${what} is not known here` } };
}

/** A file with everything it imports, imports first. */
function files(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return missing(asked);
  const fileDescriptorProto = [...withImports([file]).values()].map((each) =>
    toBinary(FileDescriptorProtoSchema, each.proto),
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function withImports(roots: readonly DescFile[]): Map<string, DescFile> {
  const found = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    const name = file.proto.name;
    if (found.has(name)) return;
    for (const dependency of file.dependencies) visit(dependency);
    found.set(name, file);
  };
  for (const root of roots) visit(root);
  return found;
}

function catalogOf(services: readonly DescService[]): Catalog {
  const details = [file_google_rpc_status, file_google_rpc_error_details];
  const all = withImports([...services.map((service) => service.file), ...details]);
  const symbols = new Map<string, DescFile>();
  const extensions: DescExtension[] = [];
  for (const file of all.values()) {
    for (const name of symbolsOf(file, extensions)) symbols.set(name, file);
  }
  const names = [...new Set(services.map((service) => service.typeName))].sort();
  return { services: names, files: all, symbols, extensions };
}

function* symbolsOf(file: DescFile, extensions: DescExtension[]): Generator<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
  for (const message of file.messages) yield* symbolsOfMessage(message, extensions);
  for (const type of file.enums) yield type.typeName;
  for (const extension of file.extensions) {
    extensions.push(extension);
    yield extension.typeName;
  }
}

function* symbolsOfMessage(message: DescMessage, extensions: DescExtension[]): Generator<string> {
  yield message.typeName;
  for (const field of message.fields) yield `${message.typeName}.${field.name}`;
  for (const oneof of message.oneofs) yield `${message.typeName}.${oneof.name}`;
  for (const nested of message.nestedMessages) yield* symbolsOfMessage(nested, extensions);
  for (const type of message.nestedEnums) yield type.typeName;
  for (const extension of message.nestedExtensions) {
    extensions.push(extension);
    yield extension.typeName;
  }
}
