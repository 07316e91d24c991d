from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClassPolicy(_message.Message):
    __slots__ = ("id", "cluster_id", "organization_id", "resource_id", "priority", "rate_bytes_per_second", "burst_bytes", "changed_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BURST_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    organization_id: str
    resource_id: str
    priority: int
    rate_bytes_per_second: int
    burst_bytes: int
    changed_at_ms: int
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., priority: _Optional[int] = ..., rate_bytes_per_second: _Optional[int] = ..., burst_bytes: _Optional[int] = ..., changed_at_ms: _Optional[int] = ..., **kwargs) -> None: ...

class SetQosPolicyRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "resource_id", "priority", "rate_bytes_per_second", "burst_bytes")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BURST_BYTES_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    resource_id: str
    priority: int
    rate_bytes_per_second: int
    burst_bytes: int
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., priority: _Optional[int] = ..., rate_bytes_per_second: _Optional[int] = ..., burst_bytes: _Optional[int] = ..., **kwargs) -> None: ...

class SetQosPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: ClassPolicy
    def __init__(self, policy: _Optional[_Union[ClassPolicy, _Mapping]] = ...) -> None: ...

class ListQosPoliciesRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListQosPoliciesResponse(_message.Message):
    __slots__ = ("policies",)
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[ClassPolicy]
    def __init__(self, policies: _Optional[_Iterable[_Union[ClassPolicy, _Mapping]]] = ...) -> None: ...

class RemoveQosPolicyRequest(_message.Message):
    __slots__ = ("cluster_id", "policy_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    policy_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., policy_id: _Optional[str] = ...) -> None: ...

class RemoveQosPolicyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
