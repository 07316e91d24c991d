from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_KIND_UNSPECIFIED: _ClassVar[LeaseKind]
    LEASE_KIND_EXCLUSIVE: _ClassVar[LeaseKind]
    LEASE_KIND_SERVICE_CHANNEL: _ClassVar[LeaseKind]
LEASE_KIND_UNSPECIFIED: LeaseKind
LEASE_KIND_EXCLUSIVE: LeaseKind
LEASE_KIND_SERVICE_CHANNEL: LeaseKind

class LeaseRoute(_message.Message):
    __slots__ = ("pool_id",)
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    def __init__(self, pool_id: _Optional[str] = ...) -> None: ...

class LeaseContract(_message.Message):
    __slots__ = ("cluster_id", "lease_id", "name", "kind", "resource_id", "organization_id", "client_id", "holder_node_id", "holder_boot_id", "service_class", "channel_class", "entry_node_id", "route", "flow_isolation_id", "fence", "issued_at_ms", "not_after_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_CLASS_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    FLOW_ISOLATION_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    lease_id: str
    name: str
    kind: LeaseKind
    resource_id: str
    organization_id: str
    client_id: str
    holder_node_id: str
    holder_boot_id: str
    service_class: _role_pb2.ServiceClass
    channel_class: _role_pb2.ChannelClass
    entry_node_id: str
    route: LeaseRoute
    flow_isolation_id: str
    fence: _role_pb2.Fence
    issued_at_ms: int
    not_after_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., lease_id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[LeaseKind, str]] = ..., resource_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., client_id: _Optional[str] = ..., holder_node_id: _Optional[str] = ..., holder_boot_id: _Optional[str] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., channel_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., entry_node_id: _Optional[str] = ..., route: _Optional[_Union[LeaseRoute, _Mapping]] = ..., flow_isolation_id: _Optional[str] = ..., fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., issued_at_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class SignedContract(_message.Message):
    __slots__ = ("contract", "key_id", "signature", "signing_key")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    contract: bytes
    key_id: str
    signature: bytes
    signing_key: _snapshot_pb2.SignedSigningKey
    def __init__(self, contract: _Optional[bytes] = ..., key_id: _Optional[str] = ..., signature: _Optional[bytes] = ..., signing_key: _Optional[_Union[_snapshot_pb2.SignedSigningKey, _Mapping]] = ...) -> None: ...
