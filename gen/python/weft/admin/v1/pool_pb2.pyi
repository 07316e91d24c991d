from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EgressPool(_message.Message):
    __slots__ = ("id", "cluster_id", "organization_id", "name", "node_ids", "created_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    organization_id: str
    name: str
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    created_at_ms: int
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., node_ids: _Optional[_Iterable[str]] = ..., created_at_ms: _Optional[int] = ...) -> None: ...

class CreatePoolRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreatePoolResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: EgressPool
    def __init__(self, pool: _Optional[_Union[EgressPool, _Mapping]] = ...) -> None: ...

class ListPoolsRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListPoolsResponse(_message.Message):
    __slots__ = ("pools",)
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[EgressPool]
    def __init__(self, pools: _Optional[_Iterable[_Union[EgressPool, _Mapping]]] = ...) -> None: ...

class AddPoolNodeRequest(_message.Message):
    __slots__ = ("cluster_id", "pool_id", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    pool_id: str
    node_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class AddPoolNodeResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: EgressPool
    def __init__(self, pool: _Optional[_Union[EgressPool, _Mapping]] = ...) -> None: ...
