from weft.fabric.v1 import contract_pb2 as _contract_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Lease(_message.Message):
    __slots__ = ("name", "holder_node_id", "boot_id", "fence", "expires_at_ms", "ttl_ms", "expired")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder_node_id: str
    boot_id: str
    fence: _role_pb2.Fence
    expires_at_ms: int
    ttl_ms: int
    expired: bool
    def __init__(self, name: _Optional[str] = ..., holder_node_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., expires_at_ms: _Optional[int] = ..., ttl_ms: _Optional[int] = ..., expired: _Optional[bool] = ...) -> None: ...

class AcquireRequest(_message.Message):
    __slots__ = ("name", "boot_id", "ttl_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    boot_id: str
    ttl_ms: int
    def __init__(self, name: _Optional[str] = ..., boot_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class AcquireResponse(_message.Message):
    __slots__ = ("lease", "contract")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    contract: _contract_pb2.SignedContract
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., contract: _Optional[_Union[_contract_pb2.SignedContract, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("name", "boot_id", "fence", "ttl_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    boot_id: str
    fence: _role_pb2.Fence
    ttl_ms: int
    def __init__(self, name: _Optional[str] = ..., boot_id: _Optional[str] = ..., fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("lease", "contract")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    contract: _contract_pb2.SignedContract
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., contract: _Optional[_Union[_contract_pb2.SignedContract, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("name", "boot_id", "fence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    boot_id: str
    fence: _role_pb2.Fence
    def __init__(self, name: _Optional[str] = ..., boot_id: _Optional[str] = ..., fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("name", "cluster_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    cluster_id: str
    def __init__(self, name: _Optional[str] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...
