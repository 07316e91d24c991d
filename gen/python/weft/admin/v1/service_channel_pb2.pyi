from weft.fabric.v1 import contract_pb2 as _contract_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceLeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_LEASE_STATE_UNSPECIFIED: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_ACTIVE: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_EXPIRED: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_RELEASED: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_CLIENT_REVOKED: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_RESOURCE_REMOVED: _ClassVar[ServiceLeaseState]
    SERVICE_LEASE_STATE_SUPERSEDED: _ClassVar[ServiceLeaseState]
SERVICE_LEASE_STATE_UNSPECIFIED: ServiceLeaseState
SERVICE_LEASE_STATE_ACTIVE: ServiceLeaseState
SERVICE_LEASE_STATE_EXPIRED: ServiceLeaseState
SERVICE_LEASE_STATE_RELEASED: ServiceLeaseState
SERVICE_LEASE_STATE_CLIENT_REVOKED: ServiceLeaseState
SERVICE_LEASE_STATE_RESOURCE_REMOVED: ServiceLeaseState
SERVICE_LEASE_STATE_SUPERSEDED: ServiceLeaseState

class ServiceLease(_message.Message):
    __slots__ = ("id", "name", "state", "contract", "signed_contract", "created_at_ms", "created_by", "maintained_count", "left_ms", "ended_at_ms", "ended_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    SIGNED_CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    MAINTAINED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEFT_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    state: ServiceLeaseState
    contract: _contract_pb2.LeaseContract
    signed_contract: bytes
    created_at_ms: int
    created_by: str
    maintained_count: int
    left_ms: int
    ended_at_ms: int
    ended_by: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[ServiceLeaseState, str]] = ..., contract: _Optional[_Union[_contract_pb2.LeaseContract, _Mapping]] = ..., signed_contract: _Optional[bytes] = ..., created_at_ms: _Optional[int] = ..., created_by: _Optional[str] = ..., maintained_count: _Optional[int] = ..., left_ms: _Optional[int] = ..., ended_at_ms: _Optional[int] = ..., ended_by: _Optional[str] = ...) -> None: ...

class IssueLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "name", "resource_id", "client_id", "entry_node_id", "channel_class", "service_class", "pool_id", "flow_isolation_id", "ttl_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_ISOLATION_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    name: str
    resource_id: str
    client_id: str
    entry_node_id: str
    channel_class: _role_pb2.ChannelClass
    service_class: _role_pb2.ServiceClass
    pool_id: str
    flow_isolation_id: str
    ttl_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., resource_id: _Optional[str] = ..., client_id: _Optional[str] = ..., entry_node_id: _Optional[str] = ..., channel_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., pool_id: _Optional[str] = ..., flow_isolation_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class IssueLeaseResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: ServiceLease
    def __init__(self, lease: _Optional[_Union[ServiceLease, _Mapping]] = ...) -> None: ...

class IntrospectLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "lease_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    lease_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., lease_id: _Optional[str] = ...) -> None: ...

class IntrospectLeaseResponse(_message.Message):
    __slots__ = ("lease", "active")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    lease: ServiceLease
    active: bool
    def __init__(self, lease: _Optional[_Union[ServiceLease, _Mapping]] = ..., active: _Optional[bool] = ...) -> None: ...

class MaintainLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "lease_id", "ttl_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    lease_id: str
    ttl_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., lease_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class MaintainLeaseResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: ServiceLease
    def __init__(self, lease: _Optional[_Union[ServiceLease, _Mapping]] = ...) -> None: ...

class ReleaseLeaseRequest(_message.Message):
    __slots__ = ("cluster_id", "lease_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    lease_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., lease_id: _Optional[str] = ...) -> None: ...

class ReleaseLeaseResponse(_message.Message):
    __slots__ = ("lease", "changed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    lease: ServiceLease
    changed: bool
    def __init__(self, lease: _Optional[_Union[ServiceLease, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class ServiceChannelServiceListLeasesRequest(_message.Message):
    __slots__ = ("cluster_id", "resource_id", "client_id", "all", "after_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    resource_id: str
    client_id: str
    all: bool
    after_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., client_id: _Optional[str] = ..., all: _Optional[bool] = ..., after_id: _Optional[str] = ...) -> None: ...

class ServiceChannelServiceListLeasesResponse(_message.Message):
    __slots__ = ("leases", "next_after_id")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[ServiceLease]
    next_after_id: str
    def __init__(self, leases: _Optional[_Iterable[_Union[ServiceLease, _Mapping]]] = ..., next_after_id: _Optional[str] = ...) -> None: ...
