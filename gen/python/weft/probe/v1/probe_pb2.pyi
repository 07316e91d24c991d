from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProbedRoute(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROBED_ROUTE_UNSPECIFIED: _ClassVar[ProbedRoute]
    PROBED_ROUTE_DIRECT: _ClassVar[ProbedRoute]
    PROBED_ROUTE_SINGLE_RELAY: _ClassVar[ProbedRoute]
    PROBED_ROUTE_FORCED_FALLBACK: _ClassVar[ProbedRoute]
PROBED_ROUTE_UNSPECIFIED: ProbedRoute
PROBED_ROUTE_DIRECT: ProbedRoute
PROBED_ROUTE_SINGLE_RELAY: ProbedRoute
PROBED_ROUTE_FORCED_FALLBACK: ProbedRoute

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

class ProbeRouteRequest(_message.Message):
    __slots__ = ("to_node_id", "route", "organization_id", "count", "interval_ms", "payload_bytes")
    TO_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    to_node_id: str
    route: ProbedRoute
    organization_id: str
    count: int
    interval_ms: int
    payload_bytes: int
    def __init__(self, to_node_id: _Optional[str] = ..., route: _Optional[_Union[ProbedRoute, str]] = ..., organization_id: _Optional[str] = ..., count: _Optional[int] = ..., interval_ms: _Optional[int] = ..., payload_bytes: _Optional[int] = ...) -> None: ...

class ProbeRouteResponse(_message.Message):
    __slots__ = ("path", "sample")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    path: ProbedPath
    sample: ProbeSample
    def __init__(self, path: _Optional[_Union[ProbedPath, _Mapping]] = ..., sample: _Optional[_Union[ProbeSample, _Mapping]] = ...) -> None: ...

class ProbedPath(_message.Message):
    __slots__ = ("node_ids", "open_ms", "avoided_node_ids")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    OPEN_MS_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    open_ms: float
    avoided_node_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_ids: _Optional[_Iterable[str]] = ..., open_ms: _Optional[float] = ..., avoided_node_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ProbeSample(_message.Message):
    __slots__ = ("seq", "rtt_ms")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    rtt_ms: float
    def __init__(self, seq: _Optional[int] = ..., rtt_ms: _Optional[float] = ...) -> None: ...
