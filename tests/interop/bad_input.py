"""A stock gRPC client that misbehaves: garbage, the wrong order, no flow control, a thousand cancellations, the wrong
certificate. Generated from proto/ like any other (gen/python), it tells how every call ended. Prints one JSON object.

    PYTHONPATH=gen/python:examples/python python bad_input.py messages --entry 127.0.0.1:7444 --identity ./laptop ...
"""

import argparse
import collections
import json
import pathlib
import random
import threading
import time

import access
import dial
import grpc
import refusals
from weft.access.v1 import access_pb2, access_pb2_grpc
from weft.admin.v1 import node_pb2
from weft.heartbeat.v1 import heartbeat_pb2, heartbeat_pb2_grpc

CONNECT = "/weft.access.v1.AccessService/Connect"
LIST_NODES = "/weft.admin.v1.NodeAdminService/ListNodes"
CALL_WITHIN_S = 20
STALLED_S = 0.5


def say(**kind):
    return access_pb2.ConnectRequest(**kind).SerializeToString()


def ended(call):
    """How a call ended, with what was answered before."""
    answers = []
    try:
        for answer in call:
            answers.append(answer if isinstance(answer, str) else answer.WhichOneof("message"))
    except grpc.RpcError as error:
        return {**refusals.refusal_of(error), "answers": answers}
    return {"code": "OK", "message": "", "answers": answers}


def send_raw(connection, messages, path=CONNECT):
    """A stream of exactly these bytes as messages."""
    kind = lambda data: access_pb2.ConnectResponse.FromString(data).WhichOneof("message") or "nothing"
    call = connection.stream_stream(path, request_serializer=bytes, response_deserializer=kind)
    return ended(call(iter(messages), timeout=CALL_WITHIN_S))


def messages(args):
    opened = say(open=access_pb2.ConnectOpen(resource=args.resource))
    half_close = say(half_close=access_pb2.ConnectHalfClose())
    chance = random.Random(args.seed)
    with dial.dial_entry(args.identity, args.entry) as connection:
        told = {
            "not_protobuf": send_raw(connection, [b"\xff\xff\xff\xff"]),
            "empty": send_raw(connection, [b""]),
            "nothing_at_all": send_raw(connection, []),
            "data_first": send_raw(connection, [say(data=b"hello?")]),
            "half_close_first": send_raw(connection, [half_close]),
            "open_twice": send_raw(connection, [opened, opened]),
            "garbage_behind_open": send_raw(connection, [opened, b"\xff\xff\xff\xff"]),
            "data_after_half_close": too_late(connection, [opened, half_close, say(data=b"more")]),
            "too_large": send_raw(connection, [opened, say(data=bytes(access.DATA_MAX_BYTES + 1))]),
            "no_such_method": send_raw(connection, [opened], "/weft.access.v1.AccessService/Disconnect"),
            "no_such_service": send_raw(connection, [opened], "/weft.access.v9.AccessService/Connect"),
            "needs_a_lease": send_raw(connection, [say(open=access_pb2.ConnectOpen(resource=args.leased))]),
            "lease_of_garbage": send_raw(
                connection, [say(open=access_pb2.ConnectOpen(resource=args.leased, contract=chance.randbytes(200)))]
            ),
        }
        random_bytes = [send_raw(connection, [chance.randbytes(chance.randrange(1, 300))]) for _ in range(20)]
    with dial.dial_folder(args.control, args.context, "operator") as control:
        raw = control.unary_unary(LIST_NODES, request_serializer=bytes, response_deserializer=bytes)
        told["garbage_to_control"] = outcome(lambda: raw(b"\xff\xff\xff\xff", timeout=CALL_WITHIN_S))
        late = node_pb2.ListNodesRequest().SerializeToString()
        told["deadline_of_an_hour"] = outcome(lambda: raw(late, timeout=3600))
    return {"told": told, "random": random_bytes}


def too_late(connection, requests, attempts=50):
    """Sends until the last request is there before the target has ended the channel in order: then nothing is too late."""
    for _ in range(attempts):
        told = send_raw(connection, requests)
        if told["code"] != "OK":
            break
    return told


def outcome(attempt):
    try:
        attempt()
    except grpc.RpcError as error:
        return refusals.refusal_of(error)
    return {"code": "OK", "message": ""}


def unread(args):
    """Sends all it may and reads nothing; what another channel of the same connection gets meanwhile."""
    taken = 0
    chunk = bytes(access.DATA_MAX_BYTES)

    def requests():
        nonlocal taken
        yield access_pb2.ConnectRequest(open=access_pb2.ConnectOpen(resource=args.resource))
        while True:
            taken += len(chunk)
            yield access_pb2.ConnectRequest(data=chunk)

    with dial.dial_entry(args.identity, args.entry) as connection:
        call = access_pb2_grpc.AccessServiceStub(connection).Connect(requests(), timeout=60)
        before = -1
        while before != taken or taken == 0:
            before = taken
            time.sleep(STALLED_S)
        beside = access.Channel(connection, args.resource, CALL_WITHIN_S)
        beside.write(b"beside")
        beside.close_write()
        echoed = b"".join(beside)
        call.cancel()
        return {"taken": taken, "beside": echoed.decode(), "code": call.code().name}


def cancel(args):
    """Opens and cancels, again and again, as fast as it goes; then behaves until it is served again."""
    counts = collections.Counter()
    refused = []
    with dial.dial_entry(args.identity, args.entry) as connection:
        stub = access_pb2_grpc.AccessServiceStub(connection)

        def storm():
            for at in range(args.count // 4):
                opened = iter([access_pb2.ConnectRequest(open=access_pb2.ConnectOpen(resource=args.resource))])
                call = stub.Connect(opened, timeout=CALL_WITHIN_S)
                if at % 2 == 0:
                    # One that changes its mind when the call stands, or hears that it does not.
                    call.initial_metadata()
                call.cancel()
                counts[call.code().name] += 1
                if call.code() != grpc.StatusCode.CANCELLED:
                    refused.append(refusals.refusal_of(call))

        threads = [threading.Thread(target=storm) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with dial.dial_entry(args.identity, args.entry) as connection:
        after = served_again(connection, args.resource)
    return {"counts": counts, "refused": refused, "after": after}


def served_again(connection, resource):
    """What came back once it was served, and what it was told before."""
    refused = []
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            channel = access.Channel(connection, resource, CALL_WITHIN_S)
            channel.write(b"sorry")
            channel.close_write()
            return {"echoed": b"".join(channel).decode(), "refused": refused}
        except grpc.RpcError as error:
            refused.append(refusals.refusal_of(error))
            time.sleep(0.25)
    return {"echoed": "", "refused": refused}


def certificates(args):
    """Every wrong pairing of a certificate and a door, as name=folder,file-stem,address."""
    told = {}
    for wrong in args.wrong:
        name, rest = wrong.split("=", 1)
        ca, cert, key, address, server_name = rest.split(",")
        shown = (read(key), read(cert)) if cert else (None, None)
        credentials = grpc.ssl_channel_credentials(read(ca), *shown)
        options = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        with grpc.secure_channel(address, credentials, options) as connection:
            told[name] = send_raw(connection, [say(open=access_pb2.ConnectOpen(resource=args.resource))])
            if name.startswith("beat"):
                service = heartbeat_pb2_grpc.HeartbeatServiceStub(connection)
                told[name] = outcome(lambda: service.Beat(heartbeat_pb2.BeatRequest(), timeout=CALL_WITHIN_S))
    return {"told": told}


def read(path):
    return pathlib.Path(path).read_bytes()


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for run in (messages, unread, cancel, certificates):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("--resource", default="echo")
        if run is certificates:
            command.add_argument("--wrong", action="append", default=[])
            continue
        command.add_argument("--identity", required=True)
        command.add_argument("--entry", required=True)
        if run is messages:
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--leased", required=True)
            command.add_argument("--control", required=True)
            command.add_argument("--context", required=True)
        if run is cancel:
            command.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    print(json.dumps(args.run(args)))


if __name__ == "__main__":
    main()
