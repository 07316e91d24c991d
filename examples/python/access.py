"""Channels to resources over AccessService.Connect, and how to use one."""

import queue

from weft.access.v1 import access_pb2, access_pb2_grpc

# How much one message may carry; what is larger is refused.
DATA_MAX_BYTES = 64 * 1024


class Channel:
    """A connection to a resource. One thread may read while another one writes.

    `write` waits while the far end takes no more: that is gRPC's flow control, all the way to the target. The deadline
    (`timeout`, seconds) bounds the whole life of the channel.
    """

    def __init__(self, connection, resource, timeout=None):
        # grpcio takes requests from an iterator, when it has credit for another one: a queue of few is a blocking write.
        self._requests = queue.Queue(maxsize=4)
        self._requests.put(access_pb2.ConnectRequest(open=access_pb2.ConnectOpen(resource=resource)))
        stub = access_pb2_grpc.AccessServiceStub(connection)
        self._call = stub.Connect(iter(self._requests.get, None), timeout=timeout)
        # The iterator waits for no request any more when the call is over.
        self._call.add_callback(self._stop)
        self._over = False
        opened = next(self._call)
        if opened.WhichOneof("message") != "opened":
            raise ValueError(f"the first answer was {opened.WhichOneof('message')}")
        self.correlation_id = opened.opened.correlation_id

    def _stop(self):
        self._over = True
        try:
            self._requests.put_nowait(None)
        except queue.Full:
            pass

    def _say(self, request):
        while not self._over:
            try:
                return self._requests.put(request, timeout=0.2)
            except queue.Full:
                continue
        raise BrokenPipeError("the channel is over; reading says why")

    def write(self, data):
        view = memoryview(data)
        for at in range(0, len(view), DATA_MAX_BYTES):
            self._say(access_pb2.ConnectRequest(data=bytes(view[at : at + DATA_MAX_BYTES])))

    def close_write(self):
        """Nothing more comes; what the target still says can be read."""
        self._say(access_pb2.ConnectRequest(half_close=access_pb2.ConnectHalfClose()))
        self._say(None)

    def __iter__(self):
        """What the target says, until it ends its side. Raises grpc.RpcError when the channel ends otherwise."""
        for answer in self._call:
            if answer.WhichOneof("message") == "half_closed":
                return
            yield answer.data

    def finish(self):
        """Waits for the end of the call when both sides have ended theirs. Raises grpc.RpcError unless its status is OK."""
        for _ in self._call:
            pass

    def cancel(self):
        """Gives the channel up, whatever is under way."""
        self._call.cancel()
