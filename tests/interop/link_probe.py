"""A stock gRPC client in Python against a node's link surface, as a neighbour would call it.

Everything it knows is proto/, three PEM files and the name of the surface. TLS picks X25519MLKEM768 by itself. Prints one
JSON object.

    python link_probe.py --address 127.0.0.1:7001 --name link-....internal --ca nodes.pem --cert n.crt --key n.key --proto proto
"""

import argparse
import importlib
import json
import os
import sys
import tempfile

import grpc
import grpc_tools.protoc


def generate(proto):
    out = tempfile.mkdtemp(prefix="weft-python-")
    folders = ["channel/v1", "fabric/v1", "probe/v1", "relay/v1"]
    sources = [
        os.path.join("weft", folder, file)
        for folder in folders
        for file in sorted(os.listdir(os.path.join(proto, "weft", folder)))
        if file.endswith(".proto")
    ]
    args = ["protoc", f"-I{proto}", f"--python_out={out}", f"--grpc_python_out={out}", *sources]
    if grpc_tools.protoc.main(args) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)
    load = importlib.import_module
    return {name: (load(f"weft.{name}.v1.{name}_pb2"), load(f"weft.{name}.v1.{name}_pb2_grpc")) for name in ["channel", "probe", "relay"]}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser()
    for name in ["address", "name", "ca", "cert", "key", "proto"]:
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    pb = generate(args.proto)
    credentials = grpc.ssl_channel_credentials(read(args.ca), read(args.key), read(args.cert))
    with grpc.secure_channel(args.address, credentials, [("grpc.ssl_target_name_override", args.name)]) as channel:
        probe, probe_grpc = pb["probe"]
        probed = probe_grpc.ProbeServiceStub(channel).Probe(probe.ProbeRequest(seq=7, payload=b"there"), timeout=10)
        echo, echo_grpc = pb["channel"]
        batches = [
            echo.EchoRequest(batch=echo.FrameBatch(seq=seq, frames=[echo.Frame(channel_id=1, data=os.urandom(1024))]))
            for seq in range(1, 65)
        ]
        echoed = list(echo_grpc.ChannelServiceStub(channel).Echo(iter(batches), timeout=20))
        relay, relay_grpc = pb["relay"]
        try:
            list(relay_grpc.RelayServiceStub(channel).OpenPath(relay.OpenPathRequest(), timeout=10))
            refused = "OK"
        except grpc.RpcError as error:
            refused = error.code().name
    print(
        json.dumps(
            {
                "probe": [probed.seq, probed.payload.decode()],
                "echo_equal": [answer.batch for answer in echoed] == [request.batch for request in batches],
                "empty_offer": refused,
            }
        )
    )


if __name__ == "__main__":
    main()
