"""how calls end that are not answered: typed errors, deadlines, cancellation"""

import access
import dial
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from weft.access.v1 import access_pb2, access_pb2_grpc


def add_arguments(command):
    dial.add_client_arguments(command)
    command.add_argument("--resource", default="echo", help="one that accepts, and says nothing by itself")


def refusal_of(error):
    """An error as Weft tells it: a gRPC status with google.rpc.ErrorInfo and google.rpc.RequestInfo.

    `reason` is a constant to decide by, `stage` where a channel ended, `retry` is never, later or now.
    """
    told = {"code": error.code().name, "message": error.details()}
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # The connection ended with the answer: gRPC tells that it was lost, and the details tell of the answer.
        status = None
    for detail in status.details if status is not None else []:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.RequestInfo()
        if detail.Unpack(info):
            told.update(reason=info.reason, stage=info.metadata.get("stage", ""), retry=info.metadata.get("retry", ""))
        elif detail.Unpack(request):
            told.update(request_id=request.request_id)
    return told


def explain(error):
    """One line for people."""
    told = refusal_of(error)
    details = ", ".join(f"{key} {told.get(key, '')!r}" for key in ("reason", "retry", "request_id"))
    return f"{told['code']}: {told['message']} [{details}]"


def run(args):
    with dial.dial_entry(args.identity, args.entry) as connection:
        return {
            "unknown_resource": outcome(lambda: access.Channel(connection, "no-such-name", timeout=30)),
            "open_first": outcome(lambda: say_data_first(connection)),
            "deadline": outcome(lambda: outstay(connection, args.resource)),
            "cancelled": outcome(lambda: change_mind(connection, args.resource)),
        }


def outcome(attempt):
    try:
        attempt()
    except grpc.RpcError as error:
        return refusal_of(error)
    return {"code": "OK", "message": ""}


def say_data_first(connection):
    requests = iter([access_pb2.ConnectRequest(data=b"hello?")])
    next(access_pb2_grpc.AccessServiceStub(connection).Connect(requests, timeout=30))


def outstay(connection, resource):
    """A channel whose deadline ends before the silence does."""
    for _ in access.Channel(connection, resource, timeout=0.5):
        pass


def change_mind(connection, resource):
    channel = access.Channel(connection, resource, timeout=30)
    channel.write(b"never mind")
    channel.cancel()
    for _ in channel:
        pass
