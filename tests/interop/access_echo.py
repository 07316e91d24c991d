"""A stock gRPC client in Python: everything it knows of Weft is proto/ and three PEM files.

Lists the services of an entry by reflection, asks its health, sends bytes through AccessService/Connect to an echoing
resource and hashes what comes back. Prints one JSON object.

    python access_echo.py --address 127.0.0.1:7444 --ca servers.pem --cert client.crt --key client.key --proto proto
"""

import argparse
import hashlib
import importlib
import json
import os
import sys
import tempfile

import grpc
import grpc_tools.protoc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CHUNK_BYTES = 32 * 1024


def generate(proto):
    """Generates client code from the .proto files alone, into a folder that is put on the import path."""
    out = tempfile.mkdtemp(prefix="weft-python-")
    sources = ["weft/access/v1/access.proto", "weft/fabric/v1/role.proto"]
    args = ["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *sources]
    if grpc_tools.protoc.main(args) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)
    load = importlib.import_module
    return load("weft.access.v1.access_pb2"), load("weft.access.v1.access_pb2_grpc")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def echo(channel, pb, pb_grpc, resource, size):
    payload = os.urandom(size)

    def requests():
        yield pb.ConnectRequest(open=pb.ConnectOpen(resource=resource))
        for at in range(0, size, CHUNK_BYTES):
            yield pb.ConnectRequest(data=payload[at : at + CHUNK_BYTES])
        yield pb.ConnectRequest(half_close=pb.ConnectHalfClose())

    received = hashlib.sha256()
    count = 0
    kinds = []
    for response in pb_grpc.AccessServiceStub(channel).Connect(requests(), timeout=60):
        kind = response.WhichOneof("message")
        if kind == "data":
            received.update(response.data)
            count += len(response.data)
        else:
            kinds.append(kind)
    return {
        "bytes": count,
        "sha256_equal": received.hexdigest() == hashlib.sha256(payload).hexdigest(),
        "kinds": kinds,
    }


def refusal(channel, pb, pb_grpc):
    """What asking for a name that does not exist looks like."""
    try:
        requests = iter([pb.ConnectRequest(open=pb.ConnectOpen(resource="no-such-name"))])
        list(pb_grpc.AccessServiceStub(channel).Connect(requests, timeout=30))
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def main():
    parser = argparse.ArgumentParser()
    for name in ["address", "ca", "cert", "key", "proto"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--resource", default="echo")
    parser.add_argument("--bytes", type=int, default=1024 * 1024)
    args = parser.parse_args()

    pb, pb_grpc = generate(args.proto)
    credentials = grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))
    with grpc.secure_channel(args.address, credentials) as channel:
        services = list(ProtoReflectionDescriptorDatabase(channel).get_services())
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        answer = {
            "services": services,
            "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
            "unknown_resource": refusal(channel, pb, pb_grpc),
            **echo(channel, pb, pb_grpc, args.resource, args.bytes),
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
