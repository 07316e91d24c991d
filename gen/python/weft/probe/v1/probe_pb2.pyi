from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ProbeRequest(_message.Message):
    __slots__ = ("seq", "payload")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    seq: int
    payload: bytes
    def __init__(self, seq: _Optional[int] = ..., payload: _Optional[bytes] = ...) -> None: ...

class ProbeResponse(_message.Message):
    __slots__ = ("seq", "payload", "load", "draining", "now_ms", "links_full")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    LINKS_FULL_FIELD_NUMBER: _ClassVar[int]
    seq: int
    payload: bytes
    load: float
    draining: bool
    now_ms: int
    links_full: bool
    def __init__(self, seq: _Optional[int] = ..., payload: _Optional[bytes] = ..., load: _Optional[float] = ..., draining: _Optional[bool] = ..., now_ms: _Optional[int] = ..., links_full: _Optional[bool] = ...) -> None: ...
