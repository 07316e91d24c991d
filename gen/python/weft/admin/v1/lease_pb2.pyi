from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_HELD: _ClassVar[LeaseState]
    LEASE_STATE_FREE: _ClassVar[LeaseState]
    LEASE_STATE_FENCED: _ClassVar[LeaseState]

class TenureEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENURE_END_UNSPECIFIED: _ClassVar[TenureEnd]
    TENURE_END_RELEASED: _ClassVar[TenureEnd]
    TENURE_END_EXPIRED: _ClassVar[TenureEnd]
    TENURE_END_FENCED: _ClassVar[TenureEnd]
    TENURE_END_SUPERSEDED: _ClassVar[TenureEnd]
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_HELD: LeaseState
LEASE_STATE_FREE: LeaseState
LEASE_STATE_FENCED: LeaseState
TENURE_END_UNSPECIFIED: TenureEnd
TENURE_END_RELEASED: TenureEnd
TENURE_END_EXPIRED: TenureEnd
TENURE_END_FENCED: TenureEnd
TENURE_END_SUPERSEDED: TenureEnd

class LeaseEntry(_message.Message):
    __slots__ = ("cluster_id", "name", "state", "holder_node_id", "holder_name", "boot_id", "fence", "acquired_at_ms", "expires_at_ms", "left_ms", "renewed_count")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ACQUIRED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LEFT_MS_FIELD_NUMBER: _ClassVar[int]
    RENEWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name: str
    state: LeaseState
    holder_node_id: str
    holder_name: str
    boot_id: str
    fence: _role_pb2.Fence
    acquired_at_ms: int
    expires_at_ms: int
    left_ms: int
    renewed_count: int
    def __init__(self, cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[LeaseState, str]] = ..., holder_node_id: _Optional[str] = ..., holder_name: _Optional[str] = ..., boot_id: _Optional[str] = ..., fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., acquired_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., left_ms: _Optional[int] = ..., renewed_count: _Optional[int] = ...) -> None: ...

class LeaseTenure(_message.Message):
    __slots__ = ("fence", "holder_node_id", "holder_name", "boot_id", "acquired_at_ms", "expires_at_ms", "renewed_count", "renewed_at_ms", "end", "ended_at_ms", "ended_by")
    FENCE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    ACQUIRED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RENEWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RENEWED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    fence: _role_pb2.Fence
    holder_node_id: str
    holder_name: str
    boot_id: str
    acquired_at_ms: int
    expires_at_ms: int
    renewed_count: int
    renewed_at_ms: int
    end: TenureEnd
    ended_at_ms: int
    ended_by: str
    def __init__(self, fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., holder_node_id: _Optional[str] = ..., holder_name: _Optional[str] = ..., boot_id: _Optional[str] = ..., acquired_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., renewed_count: _Optional[int] = ..., renewed_at_ms: _Optional[int] = ..., end: _Optional[_Union[TenureEnd, str]] = ..., ended_at_ms: _Optional[int] = ..., ended_by: _Optional[str] = ...) -> None: ...

class ListLeasesRequest(_message.Message):
    __slots__ = ("cluster_id", "name_prefix", "after_name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name_prefix: str
    after_name: str
    def __init__(self, cluster_id: _Optional[str] = ..., name_prefix: _Optional[str] = ..., after_name: _Optional[str] = ...) -> None: ...

class ListLeasesResponse(_message.Message):
    __slots__ = ("leases", "next_after_name")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_NAME_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseEntry]
    next_after_name: str
    def __init__(self, leases: _Optional[_Iterable[_Union[LeaseEntry, _Mapping]]] = ..., next_after_name: _Optional[str] = ...) -> None: ...

class GetLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class GetLeaseResponse(_message.Message):
    __slots__ = ("lease", "tenures")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    TENURES_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseEntry
    tenures: _containers.RepeatedCompositeFieldContainer[LeaseTenure]
    def __init__(self, lease: _Optional[_Union[LeaseEntry, _Mapping]] = ..., tenures: _Optional[_Iterable[_Union[LeaseTenure, _Mapping]]] = ...) -> None: ...

class FenceLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class FenceLeaseResponse(_message.Message):
    __slots__ = ("lease", "changed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseEntry
    changed: bool
    def __init__(self, lease: _Optional[_Union[LeaseEntry, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...
