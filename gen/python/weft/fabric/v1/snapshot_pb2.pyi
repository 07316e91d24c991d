from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import workload_pb2 as _workload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RootKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROOT_KIND_UNSPECIFIED: _ClassVar[RootKind]
    ROOT_KIND_NODE: _ClassVar[RootKind]
    ROOT_KIND_CONTROL: _ClassVar[RootKind]
    ROOT_KIND_CLIENT: _ClassVar[RootKind]
    ROOT_KIND_POOL: _ClassVar[RootKind]
    ROOT_KIND_OPERATOR: _ClassVar[RootKind]

class RootStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROOT_STATUS_UNSPECIFIED: _ClassVar[RootStatus]
    ROOT_STATUS_NEXT: _ClassVar[RootStatus]
    ROOT_STATUS_ACTIVE: _ClassVar[RootStatus]
    ROOT_STATUS_OLD: _ClassVar[RootStatus]
    ROOT_STATUS_TAINTED: _ClassVar[RootStatus]

class SigningPurpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNING_PURPOSE_UNSPECIFIED: _ClassVar[SigningPurpose]
    SIGNING_PURPOSE_SNAPSHOT: _ClassVar[SigningPurpose]
    SIGNING_PURPOSE_FEED: _ClassVar[SigningPurpose]
    SIGNING_PURPOSE_CONTRACT: _ClassVar[SigningPurpose]
ROOT_KIND_UNSPECIFIED: RootKind
ROOT_KIND_NODE: RootKind
ROOT_KIND_CONTROL: RootKind
ROOT_KIND_CLIENT: RootKind
ROOT_KIND_POOL: RootKind
ROOT_KIND_OPERATOR: RootKind
ROOT_STATUS_UNSPECIFIED: RootStatus
ROOT_STATUS_NEXT: RootStatus
ROOT_STATUS_ACTIVE: RootStatus
ROOT_STATUS_OLD: RootStatus
ROOT_STATUS_TAINTED: RootStatus
SIGNING_PURPOSE_UNSPECIFIED: SigningPurpose
SIGNING_PURPOSE_SNAPSHOT: SigningPurpose
SIGNING_PURPOSE_FEED: SigningPurpose
SIGNING_PURPOSE_CONTRACT: SigningPurpose

class TrustRoot(_message.Message):
    __slots__ = ("kind", "certificate_der", "status")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    kind: RootKind
    certificate_der: bytes
    status: RootStatus
    def __init__(self, kind: _Optional[_Union[RootKind, str]] = ..., certificate_der: _Optional[bytes] = ..., status: _Optional[_Union[RootStatus, str]] = ...) -> None: ...

class RetiredSigningKey(_message.Message):
    __slots__ = ("key_id", "refused_from_ms")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FROM_MS_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    refused_from_ms: int
    def __init__(self, key_id: _Optional[str] = ..., refused_from_ms: _Optional[int] = ...) -> None: ...

class TrustBundle(_message.Message):
    __slots__ = ("trust_domain", "cluster_id", "cluster_slug", "roots", "version", "issued_at_ms", "retired_signing_keys")
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RETIRED_SIGNING_KEYS_FIELD_NUMBER: _ClassVar[int]
    trust_domain: str
    cluster_id: str
    cluster_slug: str
    roots: _containers.RepeatedCompositeFieldContainer[TrustRoot]
    version: int
    issued_at_ms: int
    retired_signing_keys: _containers.RepeatedCompositeFieldContainer[RetiredSigningKey]
    def __init__(self, trust_domain: _Optional[str] = ..., cluster_id: _Optional[str] = ..., cluster_slug: _Optional[str] = ..., roots: _Optional[_Iterable[_Union[TrustRoot, _Mapping]]] = ..., version: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., retired_signing_keys: _Optional[_Iterable[_Union[RetiredSigningKey, _Mapping]]] = ...) -> None: ...

class SignedTrustBundle(_message.Message):
    __slots__ = ("bundle", "signature")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    bundle: bytes
    signature: bytes
    def __init__(self, bundle: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SigningKeyStatement(_message.Message):
    __slots__ = ("cluster_id", "key_id", "public_key_spki", "purpose", "not_before_ms", "not_after_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_SPKI_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    key_id: str
    public_key_spki: bytes
    purpose: SigningPurpose
    not_before_ms: int
    not_after_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., key_id: _Optional[str] = ..., public_key_spki: _Optional[bytes] = ..., purpose: _Optional[_Union[SigningPurpose, str]] = ..., not_before_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class SignedSigningKey(_message.Message):
    __slots__ = ("statement", "signature")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    signature: bytes
    def __init__(self, statement: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SnapshotEnvelope(_message.Message):
    __slots__ = ("payload", "key_id", "signature", "signing_key")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    key_id: str
    signature: bytes
    signing_key: SignedSigningKey
    def __init__(self, payload: _Optional[bytes] = ..., key_id: _Optional[str] = ..., signature: _Optional[bytes] = ..., signing_key: _Optional[_Union[SignedSigningKey, _Mapping]] = ...) -> None: ...

class SnapshotDelta(_message.Message):
    __slots__ = ("base_hash", "parts", "payload_hash", "key_id", "signature", "signing_key")
    BASE_HASH_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    base_hash: bytes
    parts: _containers.RepeatedCompositeFieldContainer[SnapshotDeltaPart]
    payload_hash: bytes
    key_id: str
    signature: bytes
    signing_key: SignedSigningKey
    def __init__(self, base_hash: _Optional[bytes] = ..., parts: _Optional[_Iterable[_Union[SnapshotDeltaPart, _Mapping]]] = ..., payload_hash: _Optional[bytes] = ..., key_id: _Optional[str] = ..., signature: _Optional[bytes] = ..., signing_key: _Optional[_Union[SignedSigningKey, _Mapping]] = ...) -> None: ...

class SnapshotDeltaPart(_message.Message):
    __slots__ = ("literal", "copy")
    LITERAL_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    literal: bytes
    copy: SnapshotDeltaCopy
    def __init__(self, literal: _Optional[bytes] = ..., copy: _Optional[_Union[SnapshotDeltaCopy, _Mapping]] = ...) -> None: ...

class SnapshotDeltaCopy(_message.Message):
    __slots__ = ("offset", "length")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    offset: int
    length: int
    def __init__(self, offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class AuditHead(_message.Message):
    __slots__ = ("seq", "hash")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    hash: bytes
    def __init__(self, seq: _Optional[int] = ..., hash: _Optional[bytes] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("trust_domain", "cluster_id", "cluster_slug", "node_id", "epoch", "version", "issued_at_ms", "not_after_ms", "audit_head", "bundle", "offline", "self", "neighbours", "members", "graph", "resource_routes", "listeners", "resource_targets", "clients", "listener_grants", "pools", "qos", "resource_qos", "route_intents", "ended_lease_ids", "workloads", "path_offline", "resource_offline", "signed_bundle", "test_telemetry_off", "test_telemetry_off_organization_ids")
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ROUTES_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TARGETS_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    LISTENER_GRANTS_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_QOS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_INTENTS_FIELD_NUMBER: _ClassVar[int]
    ENDED_LEASE_IDS_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    PATH_OFFLINE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_OFFLINE_FIELD_NUMBER: _ClassVar[int]
    SIGNED_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    TEST_TELEMETRY_OFF_FIELD_NUMBER: _ClassVar[int]
    TEST_TELEMETRY_OFF_ORGANIZATION_IDS_FIELD_NUMBER: _ClassVar[int]
    trust_domain: str
    cluster_id: str
    cluster_slug: str
    node_id: str
    epoch: int
    version: int
    issued_at_ms: int
    not_after_ms: int
    audit_head: AuditHead
    bundle: TrustBundle
    offline: OfflinePolicy
    self: NodeSelf
    neighbours: _containers.RepeatedCompositeFieldContainer[Neighbour]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    graph: RouteGraph
    resource_routes: _containers.RepeatedCompositeFieldContainer[ResourceRoute]
    listeners: _containers.RepeatedCompositeFieldContainer[Listener]
    resource_targets: _containers.RepeatedCompositeFieldContainer[ResourceTarget]
    clients: _containers.RepeatedCompositeFieldContainer[ClientGrant]
    listener_grants: _containers.RepeatedCompositeFieldContainer[ListenerGrant]
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    qos: _containers.RepeatedCompositeFieldContainer[QosPolicy]
    resource_qos: _containers.RepeatedCompositeFieldContainer[QosPolicy]
    route_intents: _containers.RepeatedCompositeFieldContainer[RouteIntent]
    ended_lease_ids: _containers.RepeatedScalarFieldContainer[str]
    workloads: _containers.RepeatedCompositeFieldContainer[_workload_pb2.Workload]
    path_offline: _containers.RepeatedCompositeFieldContainer[PathOffline]
    resource_offline: _containers.RepeatedCompositeFieldContainer[ResourceOffline]
    signed_bundle: SignedTrustBundle
    test_telemetry_off: bool
    test_telemetry_off_organization_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self_, trust_domain: _Optional[str] = ..., cluster_id: _Optional[str] = ..., cluster_slug: _Optional[str] = ..., node_id: _Optional[str] = ..., epoch: _Optional[int] = ..., version: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ..., audit_head: _Optional[_Union[AuditHead, _Mapping]] = ..., bundle: _Optional[_Union[TrustBundle, _Mapping]] = ..., offline: _Optional[_Union[OfflinePolicy, _Mapping]] = ..., self: _Optional[_Union[NodeSelf, _Mapping]] = ..., neighbours: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., graph: _Optional[_Union[RouteGraph, _Mapping]] = ..., resource_routes: _Optional[_Iterable[_Union[ResourceRoute, _Mapping]]] = ..., listeners: _Optional[_Iterable[_Union[Listener, _Mapping]]] = ..., resource_targets: _Optional[_Iterable[_Union[ResourceTarget, _Mapping]]] = ..., clients: _Optional[_Iterable[_Union[ClientGrant, _Mapping]]] = ..., listener_grants: _Optional[_Iterable[_Union[ListenerGrant, _Mapping]]] = ..., pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., qos: _Optional[_Iterable[_Union[QosPolicy, _Mapping]]] = ..., resource_qos: _Optional[_Iterable[_Union[QosPolicy, _Mapping]]] = ..., route_intents: _Optional[_Iterable[_Union[RouteIntent, _Mapping]]] = ..., ended_lease_ids: _Optional[_Iterable[str]] = ..., workloads: _Optional[_Iterable[_Union[_workload_pb2.Workload, _Mapping]]] = ..., path_offline: _Optional[_Iterable[_Union[PathOffline, _Mapping]]] = ..., resource_offline: _Optional[_Iterable[_Union[ResourceOffline, _Mapping]]] = ..., signed_bundle: _Optional[_Union[SignedTrustBundle, _Mapping]] = ..., test_telemetry_off: _Optional[bool] = ..., test_telemetry_off_organization_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class OfflinePolicy(_message.Message):
    __slots__ = ("mode", "continue_for_ms", "grace_ms")
    MODE_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_FOR_MS_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    mode: _role_pb2.OfflineMode
    continue_for_ms: int
    grace_ms: int
    def __init__(self, mode: _Optional[_Union[_role_pb2.OfflineMode, str]] = ..., continue_for_ms: _Optional[int] = ..., grace_ms: _Optional[int] = ...) -> None: ...

class PathOffline(_message.Message):
    __slots__ = ("organization_id", "new_for_ms", "existing_for_ms")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_FOR_MS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FOR_MS_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    new_for_ms: int
    existing_for_ms: int
    def __init__(self, organization_id: _Optional[str] = ..., new_for_ms: _Optional[int] = ..., existing_for_ms: _Optional[int] = ...) -> None: ...

class ResourceOffline(_message.Message):
    __slots__ = ("resource_id", "policy")
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    resource_id: str
    policy: OfflinePolicy
    def __init__(self, resource_id: _Optional[str] = ..., policy: _Optional[_Union[OfflinePolicy, _Mapping]] = ...) -> None: ...

class NodeSelf(_message.Message):
    __slots__ = ("name", "roles", "region", "addresses", "link_label", "dial_out_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    LINK_LABEL_FIELD_NUMBER: _ClassVar[int]
    DIAL_OUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    region: str
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    link_label: str
    dial_out_only: bool
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., region: _Optional[str] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., link_label: _Optional[str] = ..., dial_out_only: _Optional[bool] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("node_id", "name", "roles", "region", "addresses", "link_label", "dial_out_only", "dial", "direct_organization_ids")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    LINK_LABEL_FIELD_NUMBER: _ClassVar[int]
    DIAL_OUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    DIAL_FIELD_NUMBER: _ClassVar[int]
    DIRECT_ORGANIZATION_IDS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    region: str
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    link_label: str
    dial_out_only: bool
    dial: bool
    direct_organization_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., region: _Optional[str] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., link_label: _Optional[str] = ..., dial_out_only: _Optional[bool] = ..., dial: _Optional[bool] = ..., direct_organization_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("node_id", "roles")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    def __init__(self, node_id: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ...) -> None: ...

class RouteGraph(_message.Message):
    __slots__ = ("nodes", "links")
    NODES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[RouteNode]
    links: _containers.RepeatedCompositeFieldContainer[RouteLink]
    def __init__(self, nodes: _Optional[_Iterable[_Union[RouteNode, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[RouteLink, _Mapping]]] = ...) -> None: ...

class RouteNode(_message.Message):
    __slots__ = ("node_id", "name", "roles", "region", "trust_level", "load", "health")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TRUST_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    region: str
    trust_level: int
    load: float
    health: _role_pb2.NodeHealth
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., region: _Optional[str] = ..., trust_level: _Optional[int] = ..., load: _Optional[float] = ..., health: _Optional[_Union[_role_pb2.NodeHealth, str]] = ...) -> None: ...

class RouteLink(_message.Message):
    __slots__ = ("from_node_id", "to_node_id", "rtt_ms", "jitter_ms", "loss_share", "reliability_share", "bandwidth_bytes_per_second", "recent_failures", "measured_at_ms")
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TO_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_SHARE_FIELD_NUMBER: _ClassVar[int]
    RELIABILITY_SHARE_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    RECENT_FAILURES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    from_node_id: str
    to_node_id: str
    rtt_ms: float
    jitter_ms: float
    loss_share: float
    reliability_share: float
    bandwidth_bytes_per_second: float
    recent_failures: float
    measured_at_ms: int
    def __init__(self, from_node_id: _Optional[str] = ..., to_node_id: _Optional[str] = ..., rtt_ms: _Optional[float] = ..., jitter_ms: _Optional[float] = ..., loss_share: _Optional[float] = ..., reliability_share: _Optional[float] = ..., bandwidth_bytes_per_second: _Optional[float] = ..., recent_failures: _Optional[float] = ..., measured_at_ms: _Optional[int] = ...) -> None: ...

class ResourceRoute(_message.Message):
    __slots__ = ("resource_id", "name", "organization_id", "pool_id", "kind", "default_class", "allowed_classes", "minimum_assurance", "service_class", "exclusive_lease_ms", "requires_lease")
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ASSURANCE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_LEASE_FIELD_NUMBER: _ClassVar[int]
    resource_id: str
    name: str
    organization_id: str
    pool_id: str
    kind: _role_pb2.ResourceKind
    default_class: _role_pb2.ChannelClass
    allowed_classes: _containers.RepeatedScalarFieldContainer[_role_pb2.ChannelClass]
    minimum_assurance: _role_pb2.OriginAssurance
    service_class: _role_pb2.ServiceClass
    exclusive_lease_ms: int
    requires_lease: bool
    def __init__(self, resource_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., kind: _Optional[_Union[_role_pb2.ResourceKind, str]] = ..., default_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., allowed_classes: _Optional[_Iterable[_Union[_role_pb2.ChannelClass, str]]] = ..., minimum_assurance: _Optional[_Union[_role_pb2.OriginAssurance, str]] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., exclusive_lease_ms: _Optional[int] = ..., requires_lease: _Optional[bool] = ...) -> None: ...

class ResourceTarget(_message.Message):
    __slots__ = ("resource_id", "name", "organization_id", "pool_id", "kind", "default_class", "allowed_classes", "minimum_assurance", "host", "port", "unix_path", "exclusive_lease_ms", "least_fence", "requires_lease", "service_class")
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_ASSURANCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    UNIX_PATH_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    LEAST_FENCE_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_LEASE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    resource_id: str
    name: str
    organization_id: str
    pool_id: str
    kind: _role_pb2.ResourceKind
    default_class: _role_pb2.ChannelClass
    allowed_classes: _containers.RepeatedScalarFieldContainer[_role_pb2.ChannelClass]
    minimum_assurance: _role_pb2.OriginAssurance
    host: str
    port: int
    unix_path: str
    exclusive_lease_ms: int
    least_fence: _role_pb2.Fence
    requires_lease: bool
    service_class: _role_pb2.ServiceClass
    def __init__(self, resource_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., kind: _Optional[_Union[_role_pb2.ResourceKind, str]] = ..., default_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ..., allowed_classes: _Optional[_Iterable[_Union[_role_pb2.ChannelClass, str]]] = ..., minimum_assurance: _Optional[_Union[_role_pb2.OriginAssurance, str]] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., unix_path: _Optional[str] = ..., exclusive_lease_ms: _Optional[int] = ..., least_fence: _Optional[_Union[_role_pb2.Fence, _Mapping]] = ..., requires_lease: _Optional[bool] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ...) -> None: ...

class Listener(_message.Message):
    __slots__ = ("listener_id", "name", "organization_id", "resource_name", "bind_host", "bind_port", "allowed_sources")
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_NAME_FIELD_NUMBER: _ClassVar[int]
    BIND_HOST_FIELD_NUMBER: _ClassVar[int]
    BIND_PORT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_SOURCES_FIELD_NUMBER: _ClassVar[int]
    listener_id: str
    name: str
    organization_id: str
    resource_name: str
    bind_host: str
    bind_port: int
    allowed_sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, listener_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_name: _Optional[str] = ..., bind_host: _Optional[str] = ..., bind_port: _Optional[int] = ..., allowed_sources: _Optional[_Iterable[str]] = ...) -> None: ...

class ListenerGrant(_message.Message):
    __slots__ = ("listener_id", "entry_node_id", "organization_id", "resource_name")
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_NAME_FIELD_NUMBER: _ClassVar[int]
    listener_id: str
    entry_node_id: str
    organization_id: str
    resource_name: str
    def __init__(self, listener_id: _Optional[str] = ..., entry_node_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., resource_name: _Optional[str] = ...) -> None: ...

class ClientGrant(_message.Message):
    __slots__ = ("client_id", "organization_id")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    organization_id: str
    def __init__(self, client_id: _Optional[str] = ..., organization_id: _Optional[str] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("pool_id", "name", "organization_id", "egress_node_ids", "locators")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    EGRESS_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    LOCATORS_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    name: str
    organization_id: str
    egress_node_ids: _containers.RepeatedScalarFieldContainer[str]
    locators: _containers.RepeatedCompositeFieldContainer[PoolLocator]
    def __init__(self, pool_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., egress_node_ids: _Optional[_Iterable[str]] = ..., locators: _Optional[_Iterable[_Union[PoolLocator, _Mapping]]] = ...) -> None: ...

class PoolLocator(_message.Message):
    __slots__ = ("egress_node_id", "previous", "current", "next")
    EGRESS_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    egress_node_id: str
    previous: bytes
    current: bytes
    next: bytes
    def __init__(self, egress_node_id: _Optional[str] = ..., previous: _Optional[bytes] = ..., current: _Optional[bytes] = ..., next: _Optional[bytes] = ...) -> None: ...

class QosPolicy(_message.Message):
    __slots__ = ("priority", "rate_bytes_per_second", "burst_bytes", "organization_id", "resource_id")
    CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BURST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    priority: int
    rate_bytes_per_second: int
    burst_bytes: int
    organization_id: str
    resource_id: str
    def __init__(self, priority: _Optional[int] = ..., rate_bytes_per_second: _Optional[int] = ..., burst_bytes: _Optional[int] = ..., organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., **kwargs) -> None: ...

class RouteIntent(_message.Message):
    __slots__ = ("intent_id", "name", "organization_id", "source_node_id", "pool_id", "resource_id", "service_class", "action", "node_id", "region", "expires_at_ms")
    INTENT_ID_FIELD_NUMBER: _ClassVar[int]
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
    intent_id: str
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
    def __init__(self, intent_id: _Optional[str] = ..., name: _Optional[str] = ..., organization_id: _Optional[str] = ..., source_node_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., service_class: _Optional[_Union[_role_pb2.ServiceClass, str]] = ..., action: _Optional[_Union[_role_pb2.IntentAction, str]] = ..., node_id: _Optional[str] = ..., region: _Optional[str] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...
