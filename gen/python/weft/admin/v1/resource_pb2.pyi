from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Resource(_message.Message):
    __slots__ = ("id", "cluster_id", "organization_id", "name", "pool_id", "kind", "default_class", "allowed_classes", "minimum_assurance", "host", "port", "unix_path", "created_at_ms", "service", "exclusive_lease_ms", "requires_lease")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ASSURANCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    UNIX_PATH_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_LEASE_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    organization_id: str
    name: str
    pool_id: str
    kind: _role_pb2.ResourceKind
    default_class: _role_pb2.ChannelClass
    allowed_classes: _containers.RepeatedScalarFieldContainer[_role_pb2.ChannelClass]
    minimum_assurance: _role_pb2.OriginAssurance
    host: str
    port: int
    unix_path: str
    created_at_ms: int
    service: str
    exclusive_lease_ms: int
    requires_lease: bool
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., pool_id: _Optional[str] = ..., kind: _Optional[_Union[_role_pb2.ResourceKind, str]] = ..., default_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., allowed_classes: _Optional[_Iterable[_Union[_role_pb2.ChannelClass, str]]] = ..., minimum_assurance: _Optional[_Union[_role_pb2.OriginAssurance, str]] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., unix_path: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., service: _Optional[str] = ..., exclusive_lease_ms: _Optional[int] = ..., requires_lease: _Optional[bool] = ...) -> None: ...

class AddResourceRequest(_message.Message):
    __slots__ = ("cluster_id", "organization_id", "name", "pool_id", "kind", "default_class", "allowed_classes", "minimum_assurance", "host", "port", "unix_path", "service", "exclusive_lease_ms", "requires_lease")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ASSURANCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    UNIX_PATH_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_LEASE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    organization_id: str
    name: str
    pool_id: str
    kind: _role_pb2.ResourceKind
    default_class: _role_pb2.ChannelClass
    allowed_classes: _containers.RepeatedScalarFieldContainer[_role_pb2.ChannelClass]
    minimum_assurance: _role_pb2.OriginAssurance
    host: str
    port: int
    unix_path: str
    service: str
    exclusive_lease_ms: int
    requires_lease: bool
    def __init__(self, cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., pool_id: _Optional[str] = ..., kind: _Optional[_Union[_role_pb2.ResourceKind, str]] = ..., default_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., allowed_classes: _Optional[_Iterable[_Union[_role_pb2.ChannelClass, str]]] = ..., minimum_assurance: _Optional[_Union[_role_pb2.OriginAssurance, str]] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., unix_path: _Optional[str] = ..., service: _Optional[str] = ..., exclusive_lease_ms: _Optional[int] = ..., requires_lease: _Optional[bool] = ...) -> None: ...

class AddResourceResponse(_message.Message):
    __slots__ = ("resource",)
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    resource: Resource
    def __init__(self, resource: _Optional[_Union[Resource, _Mapping]] = ...) -> None: ...

class ListResourcesRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListResourcesResponse(_message.Message):
    __slots__ = ("resources",)
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    def __init__(self, resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ...) -> None: ...

class RemoveResourceRequest(_message.Message):
    __slots__ = ("cluster_id", "resource_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    resource_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., resource_id: _Optional[str] = ...) -> None: ...

class RemoveResourceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
