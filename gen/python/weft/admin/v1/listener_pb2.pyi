from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntryListener(_message.Message):
    __slots__ = ("id", "cluster_id", "organization_id", "name", "resource_id", "entry_node_id", "bind_host", "bind_port", "allowed_sources", "created_at_ms", "bound_address", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BIND_HOST_FIELD_NUMBER: _ClassVar[int]
    BIND_PORT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_SOURCES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    BOUND_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    organization_id: str
    name: str
    resource_id: str
    entry_node_id: str
    bind_host: str
    bind_port: int
    allowed_sources: _containers.RepeatedScalarFieldContainer[str]
    created_at_ms: int
    bound_address: str
    error: str
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., resource_id: _Optional[str] = ..., entry_node_id: _Optional[str] = ..., bind_host: _Optional[str] = ..., bind_port: _Optional[int] = ..., allowed_sources: _Optional[_Iterable[str]] = ..., created_at_ms: _Optional[int] = ..., bound_address: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class AddListenerRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "name", "resource_id", "entry_node_id", "bind_host", "bind_port", "allowed_sources")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BIND_HOST_FIELD_NUMBER: _ClassVar[int]
    BIND_PORT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_SOURCES_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    name: str
    resource_id: str
    entry_node_id: str
    bind_host: str
    bind_port: int
    allowed_sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., resource_id: _Optional[str] = ..., entry_node_id: _Optional[str] = ..., bind_host: _Optional[str] = ..., bind_port: _Optional[int] = ..., allowed_sources: _Optional[_Iterable[str]] = ...) -> None: ...

class AddListenerResponse(_message.Message):
    __slots__ = ("listener",)
    LISTENER_FIELD_NUMBER: _ClassVar[int]
    listener: EntryListener
    def __init__(self, listener: _Optional[_Union[EntryListener, _Mapping]] = ...) -> None: ...

class ListListenersRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListListenersResponse(_message.Message):
    __slots__ = ("listeners",)
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    listeners: _containers.RepeatedCompositeFieldContainer[EntryListener]
    def __init__(self, listeners: _Optional[_Iterable[_Union[EntryListener, _Mapping]]] = ...) -> None: ...

class RemoveListenerRequest(_message.Message):
    __slots__ = ("cluster_id", "listener_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    listener_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., listener_id: _Optional[str] = ...) -> None: ...

class RemoveListenerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
