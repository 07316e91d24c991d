from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Alert(_message.Message):
    __slots__ = ("cluster_id", "kind", "severity", "object", "object_name", "detail", "opened_at_ms", "closed_at_ms", "first_opened_at_ms", "times_opened")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_OPENED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TIMES_OPENED_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: str
    severity: str
    object: str
    object_name: str
    detail: str
    opened_at_ms: int
    closed_at_ms: int
    first_opened_at_ms: int
    times_opened: int
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[str] = ..., severity: _Optional[str] = ..., object: _Optional[str] = ..., object_name: _Optional[str] = ..., detail: _Optional[str] = ..., opened_at_ms: _Optional[int] = ..., closed_at_ms: _Optional[int] = ..., first_opened_at_ms: _Optional[int] = ..., times_opened: _Optional[int] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("cluster_id", "all")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    all: bool
    def __init__(self, cluster_id: _Optional[str] = ..., all: _Optional[bool] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts", "truncated")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    truncated: bool
    def __init__(self, alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...
