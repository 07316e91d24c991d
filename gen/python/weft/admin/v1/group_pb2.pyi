from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Group(_message.Message):
    __slots__ = ("id", "cluster_id", "name", "parent_id", "created_at_ms", "node_ids")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    name: str
    parent_id: str
    created_at_ms: int
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., parent_id: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., node_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateGroupRequest(_message.Message):
    __slots__ = ("cluster_id", "name", "parent_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name: str
    parent_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class CreateGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: Group
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...

class MoveGroupRequest(_message.Message):
    __slots__ = ("cluster_id", "group_id", "parent_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    group_id: str
    parent_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., group_id: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class MoveGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: Group
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ...) -> None: ...

class RemoveGroupRequest(_message.Message):
    __slots__ = ("cluster_id", "group_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    group_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., group_id: _Optional[str] = ...) -> None: ...

class RemoveGroupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AssignGroupRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "group_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    group_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., group_id: _Optional[str] = ...) -> None: ...

class AssignGroupResponse(_message.Message):
    __slots__ = ("node_id", "group_id", "previous_group_id")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    group_id: str
    previous_group_id: str
    def __init__(self, node_id: _Optional[str] = ..., group_id: _Optional[str] = ..., previous_group_id: _Optional[str] = ...) -> None: ...
