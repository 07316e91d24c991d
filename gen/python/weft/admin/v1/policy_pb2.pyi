from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OfflineRule(_message.Message):
    __slots__ = ("id", "cluster_id", "organization_id", "resource_id", "policy", "changed_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    organization_id: str
    resource_id: str
    policy: _snapshot_pb2.OfflinePolicy
    changed_at_ms: int
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., policy: _Optional[_Union[_snapshot_pb2.OfflinePolicy, _Mapping]] = ..., changed_at_ms: _Optional[int] = ...) -> None: ...

class SetOfflinePolicyRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "resource_id", "policy")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    resource_id: str
    policy: _snapshot_pb2.OfflinePolicy
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., policy: _Optional[_Union[_snapshot_pb2.OfflinePolicy, _Mapping]] = ...) -> None: ...

class SetOfflinePolicyResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: OfflineRule
    def __init__(self, rule: _Optional[_Union[OfflineRule, _Mapping]] = ...) -> None: ...

class ListOfflinePoliciesRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListOfflinePoliciesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[OfflineRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[OfflineRule, _Mapping]]] = ...) -> None: ...

class GetOfflinePolicyRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "resource_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    resource_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ...) -> None: ...

class GetOfflinePolicyResponse(_message.Message):
    __slots__ = ("policy", "rule", "paths")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    policy: _snapshot_pb2.OfflinePolicy
    rule: OfflineRule
    paths: _snapshot_pb2.PathOffline
    def __init__(self, policy: _Optional[_Union[_snapshot_pb2.OfflinePolicy, _Mapping]] = ..., rule: _Optional[_Union[OfflineRule, _Mapping]] = ..., paths: _Optional[_Union[_snapshot_pb2.PathOffline, _Mapping]] = ...) -> None: ...

class RemoveOfflinePolicyRequest(_message.Message):
    __slots__ = ("cluster_id", "rule_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    rule_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., rule_id: _Optional[str] = ...) -> None: ...

class RemoveOfflinePolicyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
