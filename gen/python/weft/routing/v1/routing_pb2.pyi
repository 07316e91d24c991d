from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ResolveRoutesRequest(_message.Message):
    __slots__ = ("cluster_id", "from_node_id", "resource", "organization_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    from_node_id: str
    resource: str
    organization_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., from_node_id: _Optional[str] = ..., resource: _Optional[str] = ..., organization_id: _Optional[str] = ..., **kwargs) -> None: ...

class ResolveRoutesResponse(_message.Message):
    __slots__ = ("primary", "standby", "snapshot_epoch", "snapshot_version")
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    primary: _containers.RepeatedScalarFieldContainer[str]
    standby: _containers.RepeatedScalarFieldContainer[str]
    snapshot_epoch: int
    snapshot_version: int
    def __init__(self, primary: _Optional[_Iterable[str]] = ..., standby: _Optional[_Iterable[str]] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ...) -> None: ...

class ExplainRouteRequest(_message.Message):
    __slots__ = ("cluster_id", "from_node_id", "resource", "organization_id", "far_node_id", "failed_node_ids")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    FAR_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    from_node_id: str
    resource: str
    organization_id: str
    far_node_id: str
    failed_node_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster_id: _Optional[str] = ..., from_node_id: _Optional[str] = ..., resource: _Optional[str] = ..., organization_id: _Optional[str] = ..., far_node_id: _Optional[str] = ..., failed_node_ids: _Optional[_Iterable[str]] = ..., **kwargs) -> None: ...

class ExplainRouteResponse(_message.Message):
    __slots__ = ("routes", "snapshot_epoch", "snapshot_version")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[RouteExplanation]
    snapshot_epoch: int
    snapshot_version: int
    def __init__(self, routes: _Optional[_Iterable[_Union[RouteExplanation, _Mapping]]] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ...) -> None: ...

class RouteExplanation(_message.Message):
    __slots__ = ("from_node_id", "from_name", "candidates", "intents", "path_qos", "channel_qos")
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_NAME_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    PATH_QOS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_QOS_FIELD_NUMBER: _ClassVar[int]
    from_node_id: str
    from_name: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    intents: _containers.RepeatedCompositeFieldContainer[AppliedIntent]
    path_qos: AppliedQos
    channel_qos: AppliedQos
    def __init__(self, from_node_id: _Optional[str] = ..., from_name: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., intents: _Optional[_Iterable[_Union[AppliedIntent, _Mapping]]] = ..., path_qos: _Optional[_Union[AppliedQos, _Mapping]] = ..., channel_qos: _Optional[_Union[AppliedQos, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("node_ids", "names", "total", "parts", "outcome", "reason", "shared_hops")
    NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHARED_HOPS_FIELD_NUMBER: _ClassVar[int]
    node_ids: _containers.RepeatedScalarFieldContainer[str]
    names: _containers.RepeatedScalarFieldContainer[str]
    total: float
    parts: _containers.RepeatedCompositeFieldContainer[ScorePart]
    outcome: str
    reason: str
    shared_hops: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_ids: _Optional[_Iterable[str]] = ..., names: _Optional[_Iterable[str]] = ..., total: _Optional[float] = ..., parts: _Optional[_Iterable[_Union[ScorePart, _Mapping]]] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., shared_hops: _Optional[_Iterable[str]] = ...) -> None: ...

class AppliedIntent(_message.Message):
    __slots__ = ("intent", "resources", "effect")
    INTENT_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    intent: _snapshot_pb2.RouteIntent
    resources: _containers.RepeatedScalarFieldContainer[str]
    effect: str
    def __init__(self, intent: _Optional[_Union[_snapshot_pb2.RouteIntent, _Mapping]] = ..., resources: _Optional[_Iterable[str]] = ..., effect: _Optional[str] = ...) -> None: ...

class AppliedQos(_message.Message):
    __slots__ = ("scope", "policy")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    scope: str
    policy: _snapshot_pb2.QosPolicy
    def __init__(self, scope: _Optional[str] = ..., policy: _Optional[_Union[_snapshot_pb2.QosPolicy, _Mapping]] = ...) -> None: ...

class ScorePart(_message.Message):
    __slots__ = ("input", "value", "unit", "weight", "cost")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    input: str
    value: float
    unit: str
    weight: float
    cost: float
    def __init__(self, input: _Optional[str] = ..., value: _Optional[float] = ..., unit: _Optional[str] = ..., weight: _Optional[float] = ..., cost: _Optional[float] = ...) -> None: ...

class ReportLinksRequest(_message.Message):
    __slots__ = ("links", "proofs")
    LINKS_FIELD_NUMBER: _ClassVar[int]
    PROOFS_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[_snapshot_pb2.RouteLink]
    proofs: _containers.RepeatedCompositeFieldContainer[LinkProof]
    def __init__(self, links: _Optional[_Iterable[_Union[_snapshot_pb2.RouteLink, _Mapping]]] = ..., proofs: _Optional[_Iterable[_Union[LinkProof, _Mapping]]] = ...) -> None: ...

class LinkProof(_message.Message):
    __slots__ = ("from_node_id", "to_node_id", "state", "reverse", "last_success_at_ms", "last_failure", "last_failure_at_ms", "reported_at_ms")
    FROM_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TO_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    from_node_id: str
    to_node_id: str
    state: str
    reverse: bool
    last_success_at_ms: int
    last_failure: str
    last_failure_at_ms: int
    reported_at_ms: int
    def __init__(self, from_node_id: _Optional[str] = ..., to_node_id: _Optional[str] = ..., state: _Optional[str] = ..., reverse: _Optional[bool] = ..., last_success_at_ms: _Optional[int] = ..., last_failure: _Optional[str] = ..., last_failure_at_ms: _Optional[int] = ..., reported_at_ms: _Optional[int] = ...) -> None: ...

class ListLinksRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class ListLinksResponse(_message.Message):
    __slots__ = ("links",)
    LINKS_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[LinkProof]
    def __init__(self, links: _Optional[_Iterable[_Union[LinkProof, _Mapping]]] = ...) -> None: ...

class ReportLinksResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
