from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NodeRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_ROLE_UNSPECIFIED: _ClassVar[NodeRole]
    NODE_ROLE_ENTRY: _ClassVar[NodeRole]
    NODE_ROLE_RELAY: _ClassVar[NodeRole]
    NODE_ROLE_EGRESS: _ClassVar[NodeRole]
    NODE_ROLE_RDP_WORKER: _ClassVar[NodeRole]
    NODE_ROLE_VNC_WORKER: _ClassVar[NodeRole]
    NODE_ROLE_VPN_EXIT: _ClassVar[NodeRole]
    NODE_ROLE_VPN_CONNECTOR: _ClassVar[NodeRole]
    NODE_ROLE_FILE_STORAGE_CACHE: _ClassVar[NodeRole]
    NODE_ROLE_UPDATE_CACHE: _ClassVar[NodeRole]
    NODE_ROLE_VIDEO_RELAY: _ClassVar[NodeRole]
    NODE_ROLE_STORAGE: _ClassVar[NodeRole]
    NODE_ROLE_ADMIN_INGRESS: _ClassVar[NodeRole]

class NodeCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_CAPABILITY_UNSPECIFIED: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_ACCEPT_CLIENT_INGRESS: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_ACCEPT_NODE_INGRESS: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_ROUTE_MESH: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_EGRESS_INTERNET: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_EGRESS_PRIVATE_NETWORK: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_RDP_WORKER: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_VNC_WORKER: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_VPN_EXIT: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_VPN_CONNECTOR: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_FILE_CACHE: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_UPDATE_CACHE: _ClassVar[NodeCapability]
    NODE_CAPABILITY_CAN_RUN_VIDEO_RELAY: _ClassVar[NodeCapability]

class NodeHealth(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_HEALTH_UNSPECIFIED: _ClassVar[NodeHealth]
    NODE_HEALTH_ONLINE: _ClassVar[NodeHealth]
    NODE_HEALTH_STALE: _ClassVar[NodeHealth]
    NODE_HEALTH_DRAINING: _ClassVar[NodeHealth]
    NODE_HEALTH_OFFLINE: _ClassVar[NodeHealth]
    NODE_HEALTH_MISSING: _ClassVar[NodeHealth]

class ChannelClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_CLASS_UNSPECIFIED: _ClassVar[ChannelClass]
    CHANNEL_CLASS_BULK: _ClassVar[ChannelClass]
    CHANNEL_CLASS_INTERACTIVE: _ClassVar[ChannelClass]
    CHANNEL_CLASS_DROPPABLE: _ClassVar[ChannelClass]

class ServiceClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_CLASS_UNSPECIFIED: _ClassVar[ServiceClass]
    SERVICE_CLASS_REMOTE_WORKSPACE: _ClassVar[ServiceClass]
    SERVICE_CLASS_DATABASE: _ClassVar[ServiceClass]
    SERVICE_CLASS_WEB: _ClassVar[ServiceClass]
    SERVICE_CLASS_FILE_TRANSFER: _ClassVar[ServiceClass]
    SERVICE_CLASS_MESSAGING: _ClassVar[ServiceClass]
    SERVICE_CLASS_OTHER: _ClassVar[ServiceClass]

class IntentAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_ACTION_UNSPECIFIED: _ClassVar[IntentAction]
    INTENT_ACTION_PREFER: _ClassVar[IntentAction]
    INTENT_ACTION_AVOID: _ClassVar[IntentAction]
    INTENT_ACTION_REQUIRE_REGION: _ClassVar[IntentAction]
    INTENT_ACTION_DIRECT: _ClassVar[IntentAction]

class ResourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_KIND_UNSPECIFIED: _ClassVar[ResourceKind]
    RESOURCE_KIND_TCP: _ClassVar[ResourceKind]
    RESOURCE_KIND_MESSAGE: _ClassVar[ResourceKind]

class OriginAssurance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_ASSURANCE_UNSPECIFIED: _ClassVar[OriginAssurance]
    ORIGIN_ASSURANCE_ANONYMOUS: _ClassVar[OriginAssurance]
    ORIGIN_ASSURANCE_ENTRY_ASSERTED: _ClassVar[OriginAssurance]
    ORIGIN_ASSURANCE_PROVED: _ClassVar[OriginAssurance]

class OfflineMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFLINE_MODE_UNSPECIFIED: _ClassVar[OfflineMode]
    OFFLINE_MODE_CONTINUE: _ClassVar[OfflineMode]
    OFFLINE_MODE_CONTINUE_FOR: _ClassVar[OfflineMode]
    OFFLINE_MODE_EXISTING_ONLY: _ClassVar[OfflineMode]
    OFFLINE_MODE_FAIL_CLOSED: _ClassVar[OfflineMode]
NODE_ROLE_UNSPECIFIED: NodeRole
NODE_ROLE_ENTRY: NodeRole
NODE_ROLE_RELAY: NodeRole
NODE_ROLE_EGRESS: NodeRole
NODE_ROLE_RDP_WORKER: NodeRole
NODE_ROLE_VNC_WORKER: NodeRole
NODE_ROLE_VPN_EXIT: NodeRole
NODE_ROLE_VPN_CONNECTOR: NodeRole
NODE_ROLE_FILE_STORAGE_CACHE: NodeRole
NODE_ROLE_UPDATE_CACHE: NodeRole
NODE_ROLE_VIDEO_RELAY: NodeRole
NODE_ROLE_STORAGE: NodeRole
NODE_ROLE_ADMIN_INGRESS: NodeRole
NODE_CAPABILITY_UNSPECIFIED: NodeCapability
NODE_CAPABILITY_CAN_ACCEPT_CLIENT_INGRESS: NodeCapability
NODE_CAPABILITY_CAN_ACCEPT_NODE_INGRESS: NodeCapability
NODE_CAPABILITY_CAN_ROUTE_MESH: NodeCapability
NODE_CAPABILITY_CAN_EGRESS_INTERNET: NodeCapability
NODE_CAPABILITY_CAN_EGRESS_PRIVATE_NETWORK: NodeCapability
NODE_CAPABILITY_CAN_RUN_RDP_WORKER: NodeCapability
NODE_CAPABILITY_CAN_RUN_VNC_WORKER: NodeCapability
NODE_CAPABILITY_CAN_RUN_VPN_EXIT: NodeCapability
NODE_CAPABILITY_CAN_RUN_VPN_CONNECTOR: NodeCapability
NODE_CAPABILITY_CAN_RUN_FILE_CACHE: NodeCapability
NODE_CAPABILITY_CAN_RUN_UPDATE_CACHE: NodeCapability
NODE_CAPABILITY_CAN_RUN_VIDEO_RELAY: NodeCapability
NODE_HEALTH_UNSPECIFIED: NodeHealth
NODE_HEALTH_ONLINE: NodeHealth
NODE_HEALTH_STALE: NodeHealth
NODE_HEALTH_DRAINING: NodeHealth
NODE_HEALTH_OFFLINE: NodeHealth
NODE_HEALTH_MISSING: NodeHealth
CHANNEL_CLASS_UNSPECIFIED: ChannelClass
CHANNEL_CLASS_BULK: ChannelClass
CHANNEL_CLASS_INTERACTIVE: ChannelClass
CHANNEL_CLASS_DROPPABLE: ChannelClass
SERVICE_CLASS_UNSPECIFIED: ServiceClass
SERVICE_CLASS_REMOTE_WORKSPACE: ServiceClass
SERVICE_CLASS_DATABASE: ServiceClass
SERVICE_CLASS_WEB: ServiceClass
SERVICE_CLASS_FILE_TRANSFER: ServiceClass
SERVICE_CLASS_MESSAGING: ServiceClass
SERVICE_CLASS_OTHER: ServiceClass
INTENT_ACTION_UNSPECIFIED: IntentAction
INTENT_ACTION_PREFER: IntentAction
INTENT_ACTION_AVOID: IntentAction
INTENT_ACTION_REQUIRE_REGION: IntentAction
INTENT_ACTION_DIRECT: IntentAction
RESOURCE_KIND_UNSPECIFIED: ResourceKind
RESOURCE_KIND_TCP: ResourceKind
RESOURCE_KIND_MESSAGE: ResourceKind
ORIGIN_ASSURANCE_UNSPECIFIED: OriginAssurance
ORIGIN_ASSURANCE_ANONYMOUS: OriginAssurance
ORIGIN_ASSURANCE_ENTRY_ASSERTED: OriginAssurance
ORIGIN_ASSURANCE_PROVED: OriginAssurance
OFFLINE_MODE_UNSPECIFIED: OfflineMode
OFFLINE_MODE_CONTINUE: OfflineMode
OFFLINE_MODE_CONTINUE_FOR: OfflineMode
OFFLINE_MODE_EXISTING_ONLY: OfflineMode
OFFLINE_MODE_FAIL_CLOSED: OfflineMode

class Fence(_message.Message):
    __slots__ = ("epoch", "counter")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    counter: int
    def __init__(self, epoch: _Optional[int] = ..., counter: _Optional[int] = ...) -> None: ...

class RoleGrant(_message.Message):
    __slots__ = ("role", "organization_id")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    role: NodeRole
    organization_id: str
    def __init__(self, role: _Optional[_Union[NodeRole, str]] = ..., organization_id: _Optional[str] = ...) -> None: ...

class NodeAddress(_message.Message):
    __slots__ = ("host", "port")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...
