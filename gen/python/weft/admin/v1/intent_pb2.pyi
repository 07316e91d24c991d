from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RouteIntent(_message.Message):
    __slots__ = ("id", "cluster_id", "name", "organization_id", "source_node_id", "pool_id", "resource_id", "service_class", "action", "node_id", "region", "expires_at_ms", "created_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    name: str
    organization_id: str
    source_node_id: str
    pool_id: str
    resource_id: str
    service_class: _role_pb2.ServiceClass
    action: _role_pb2.IntentAction
    node_id: str
    region: str
    expires_at_ms: int
    created_at_ms: int
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., source_node_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., action: _Optional[_Union[_role_pb2.IntentAction, str]] = ..., node_id: _Optional[str] = ..., region: _Optional[str] = ..., expires_at_ms: _Optional[int] = ..., created_at_ms: _Optional[int] = ...) -> None: ...

class AddRouteIntentRequest(_message.Message):
    __slots__ = ("cluster_id", "name", "organization_id", "source_node_id", "pool_id", "resource_id", "service_class", "action", "node_id", "region", "expires_at_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    name: str
    organization_id: str
    source_node_id: str
    pool_id: str
    resource_id: str
    service_class: _role_pb2.ServiceClass
    action: _role_pb2.IntentAction
    node_id: str
    region: str
    expires_at_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., source_node_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., action: _Optional[_Union[_role_pb2.IntentAction, str]] = ..., node_id: _Optional[str] = ..., region: _Optional[str] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...

class AddRouteIntentResponse(_message.Message):
    __slots__ = ("intent",)
    INTENT_FIELD_NUMBER: _ClassVar[int]
    intent: RouteIntent
    def __init__(self, intent: _Optional[_Union[RouteIntent, _Mapping]] = ...) -> None: ...

class ListRouteIntentsRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListRouteIntentsResponse(_message.Message):
    __slots__ = ("intents",)
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    intents: _containers.RepeatedCompositeFieldContainer[RouteIntent]
    def __init__(self, intents: _Optional[_Iterable[_Union[RouteIntent, _Mapping]]] = ...) -> None: ...

class RemoveRouteIntentRequest(_message.Message):
    __slots__ = ("cluster_id", "intent_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    INTENT_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    intent_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., intent_id: _Optional[str] = ...) -> None: ...

class RemoveRouteIntentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
