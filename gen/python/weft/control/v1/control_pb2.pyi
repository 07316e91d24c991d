from weft.fabric.v1 import feed_pb2 as _feed_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from weft.fabric.v1 import workload_pb2 as _workload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkloadState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKLOAD_STATE_UNSPECIFIED: _ClassVar[WorkloadState]
    WORKLOAD_STATE_RUNNING: _ClassVar[WorkloadState]
    WORKLOAD_STATE_STOPPED: _ClassVar[WorkloadState]
    WORKLOAD_STATE_DEGRADED: _ClassVar[WorkloadState]
    WORKLOAD_STATE_FAILED: _ClassVar[WorkloadState]
    WORKLOAD_STATE_STARTING: _ClassVar[WorkloadState]
    WORKLOAD_STATE_UNHEALTHY: _ClassVar[WorkloadState]
    WORKLOAD_STATE_BACKOFF: _ClassVar[WorkloadState]
    WORKLOAD_STATE_STOPPING: _ClassVar[WorkloadState]
WORKLOAD_STATE_UNSPECIFIED: WorkloadState
WORKLOAD_STATE_RUNNING: WorkloadState
WORKLOAD_STATE_STOPPED: WorkloadState
WORKLOAD_STATE_DEGRADED: WorkloadState
WORKLOAD_STATE_FAILED: WorkloadState
WORKLOAD_STATE_STARTING: WorkloadState
WORKLOAD_STATE_UNHEALTHY: WorkloadState
WORKLOAD_STATE_BACKOFF: WorkloadState
WORKLOAD_STATE_STOPPING: WorkloadState

class WatchSnapshotRequest(_message.Message):
    __slots__ = ("epoch", "version", "takes_deltas")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TAKES_DELTAS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    version: int
    takes_deltas: bool
    def __init__(self, epoch: _Optional[int] = ..., version: _Optional[int] = ..., takes_deltas: _Optional[bool] = ...) -> None: ...

class WatchSnapshotResponse(_message.Message):
    __slots__ = ("snapshot", "feed", "delta")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    FEED_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    snapshot: _snapshot_pb2.SnapshotEnvelope
    feed: _feed_pb2.SignedFeed
    delta: _snapshot_pb2.SnapshotDelta
    def __init__(self, snapshot: _Optional[_Union[_snapshot_pb2.SnapshotEnvelope, _Mapping]] = ..., feed: _Optional[_Union[_feed_pb2.SignedFeed, _Mapping]] = ..., delta: _Optional[_Union[_snapshot_pb2.SnapshotDelta, _Mapping]] = ...) -> None: ...

class ReportWorkloadsRequest(_message.Message):
    __slots__ = ("workloads",)
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedCompositeFieldContainer[WorkloadReport]
    def __init__(self, workloads: _Optional[_Iterable[_Union[WorkloadReport, _Mapping]]] = ...) -> None: ...

class WorkloadReport(_message.Message):
    __slots__ = ("name", "role", "state", "reason", "version", "kind", "restarts", "fingerprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: _role_pb2.NodeRole
    state: WorkloadState
    reason: str
    version: str
    kind: _workload_pb2.WorkloadKind
    restarts: int
    fingerprint: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[_role_pb2.NodeRole, str]] = ..., state: _Optional[_Union[WorkloadState, str]] = ..., reason: _Optional[str] = ..., version: _Optional[str] = ..., kind: _Optional[_Union[_workload_pb2.WorkloadKind, str]] = ..., restarts: _Optional[int] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class ReportWorkloadsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReturnFeedsRequest(_message.Message):
    __slots__ = ("feeds", "audit_head", "snapshot_epoch", "snapshot_version")
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    feeds: _containers.RepeatedCompositeFieldContainer[_feed_pb2.SignedFeed]
    audit_head: _snapshot_pb2.AuditHead
    snapshot_epoch: int
    snapshot_version: int
    def __init__(self, feeds: _Optional[_Iterable[_Union[_feed_pb2.SignedFeed, _Mapping]]] = ..., audit_head: _Optional[_Union[_snapshot_pb2.AuditHead, _Mapping]] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ...) -> None: ...

class ReturnFeedsResponse(_message.Message):
    __slots__ = ("learned",)
    LEARNED_FIELD_NUMBER: _ClassVar[int]
    learned: int
    def __init__(self, learned: _Optional[int] = ...) -> None: ...

class ReportSnapshotForkRequest(_message.Message):
    __slots__ = ("refused", "held_payload_hash")
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HELD_PAYLOAD_HASH_FIELD_NUMBER: _ClassVar[int]
    refused: _snapshot_pb2.SnapshotEnvelope
    held_payload_hash: bytes
    def __init__(self, refused: _Optional[_Union[_snapshot_pb2.SnapshotEnvelope, _Mapping]] = ..., held_payload_hash: _Optional[bytes] = ...) -> None: ...

class ReportSnapshotForkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
