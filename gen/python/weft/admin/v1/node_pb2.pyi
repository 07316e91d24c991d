from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("id", "cluster_id", "name", "identity_status", "roles", "capabilities", "addresses", "dial_out_only", "region", "health", "joined_at_ms", "last_seen_at_ms", "load", "skew_ms", "snapshot_epoch", "snapshot_version", "certificate_serial", "certificate_not_after_ms", "operator_address", "version", "membership_status", "revoked_at_ms", "listeners", "beat_age_ms", "draining", "health_since_ms", "group_id", "alerts", "placement_state", "drift_ppm")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DIAL_OUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SERIAL_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_STATUS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    BEAT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_STATE_FIELD_NUMBER: _ClassVar[int]
    DRIFT_PPM_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    name: str
    identity_status: str
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    capabilities: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeCapability]
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    dial_out_only: bool
    region: str
    health: _role_pb2.NodeHealth
    joined_at_ms: int
    last_seen_at_ms: int
    load: float
    skew_ms: float
    snapshot_epoch: int
    snapshot_version: int
    certificate_serial: str
    certificate_not_after_ms: int
    operator_address: str
    version: str
    membership_status: str
    revoked_at_ms: int
    listeners: _containers.RepeatedCompositeFieldContainer[NodeListener]
    beat_age_ms: int
    draining: bool
    health_since_ms: int
    group_id: str
    alerts: _containers.RepeatedScalarFieldContainer[str]
    placement_state: str
    drift_ppm: float
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., name: _Optional[str] = ..., identity_status: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., capabilities: _Optional[_Iterable[_Union[_role_pb2.NodeCapability, str]]] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., dial_out_only: _Optional[bool] = ..., region: _Optional[str] = ..., health: _Optional[_Union[_role_pb2.NodeHealth, str]] = ..., joined_at_ms: _Optional[int] = ..., last_seen_at_ms: _Optional[int] = ..., load: _Optional[float] = ..., skew_ms: _Optional[float] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., certificate_serial: _Optional[str] = ..., certificate_not_after_ms: _Optional[int] = ..., operator_address: _Optional[str] = ..., version: _Optional[str] = ..., membership_status: _Optional[str] = ..., revoked_at_ms: _Optional[int] = ..., listeners: _Optional[_Iterable[_Union[NodeListener, _Mapping]]] = ..., beat_age_ms: _Optional[int] = ..., draining: _Optional[bool] = ..., health_since_ms: _Optional[int] = ..., group_id: _Optional[str] = ..., alerts: _Optional[_Iterable[str]] = ..., placement_state: _Optional[str] = ..., drift_ppm: _Optional[float] = ...) -> None: ...

class NodeListener(_message.Message):
    __slots__ = ("listener_id", "bound_address", "error")
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    BOUND_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    listener_id: str
    bound_address: str
    error: str
    def __init__(self, listener_id: _Optional[str] = ..., bound_address: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class RevokeNodeRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "reason")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    reason: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeNodeResponse(_message.Message):
    __slots__ = ("node", "feed_epoch", "feed_seq")
    NODE_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    node: Node
    feed_epoch: int
    feed_seq: int
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("cluster_id", "node_id", "node_name", "status", "joined_at_ms", "last_seen_at_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    JOINED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    node_name: str
    status: str
    joined_at_ms: int
    last_seen_at_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., status: _Optional[str] = ..., joined_at_ms: _Optional[int] = ..., last_seen_at_ms: _Optional[int] = ...) -> None: ...

class ListMembershipsRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListMembershipsResponse(_message.Message):
    __slots__ = ("memberships",)
    MEMBERSHIPS_FIELD_NUMBER: _ClassVar[int]
    memberships: _containers.RepeatedCompositeFieldContainer[Membership]
    def __init__(self, memberships: _Optional[_Iterable[_Union[Membership, _Mapping]]] = ...) -> None: ...

class DisableMembershipRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class DisableMembershipResponse(_message.Message):
    __slots__ = ("membership",)
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    membership: Membership
    def __init__(self, membership: _Optional[_Union[Membership, _Mapping]] = ...) -> None: ...

class EnableMembershipRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class EnableMembershipResponse(_message.Message):
    __slots__ = ("membership",)
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    membership: Membership
    def __init__(self, membership: _Optional[_Union[Membership, _Mapping]] = ...) -> None: ...
