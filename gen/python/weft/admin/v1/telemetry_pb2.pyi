from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TestTelemetrySwitch(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "node_id", "enabled", "changed_at_ms", "changed_by")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    node_id: str
    enabled: bool
    changed_at_ms: int
    changed_by: str
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., node_id: _Optional[str] = ..., enabled: _Optional[bool] = ..., changed_at_ms: _Optional[int] = ..., changed_by: _Optional[str] = ...) -> None: ...

class SetTestTelemetryRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "node_id", "enabled")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    node_id: str
    enabled: bool
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., node_id: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class SetTestTelemetryResponse(_message.Message):
    __slots__ = ("switch",)
    SWITCH_FIELD_NUMBER: _ClassVar[int]
    switch: TestTelemetrySwitch
    def __init__(self, switch: _Optional[_Union[TestTelemetrySwitch, _Mapping]] = ...) -> None: ...

class ListTestTelemetryRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListTestTelemetryResponse(_message.Message):
    __slots__ = ("switches",)
    SWITCHES_FIELD_NUMBER: _ClassVar[int]
    switches: _containers.RepeatedCompositeFieldContainer[TestTelemetrySwitch]
    def __init__(self, switches: _Optional[_Iterable[_Union[TestTelemetrySwitch, _Mapping]]] = ...) -> None: ...
