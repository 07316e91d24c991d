from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RotationPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROTATION_PHASE_UNSPECIFIED: _ClassVar[RotationPhase]
    ROTATION_PHASE_PUBLISH: _ClassVar[RotationPhase]
    ROTATION_PHASE_SIGN: _ClassVar[RotationPhase]
    ROTATION_PHASE_TAINT: _ClassVar[RotationPhase]
    ROTATION_PHASE_DROP: _ClassVar[RotationPhase]
    ROTATION_PHASE_RESTORE: _ClassVar[RotationPhase]
    ROTATION_PHASE_REVERT: _ClassVar[RotationPhase]
    ROTATION_PHASE_WITHDRAW: _ClassVar[RotationPhase]
    ROTATION_PHASE_DONE: _ClassVar[RotationPhase]
    ROTATION_PHASE_ROLLED_BACK: _ClassVar[RotationPhase]
ROTATION_PHASE_UNSPECIFIED: RotationPhase
ROTATION_PHASE_PUBLISH: RotationPhase
ROTATION_PHASE_SIGN: RotationPhase
ROTATION_PHASE_TAINT: RotationPhase
ROTATION_PHASE_DROP: RotationPhase
ROTATION_PHASE_RESTORE: RotationPhase
ROTATION_PHASE_REVERT: RotationPhase
ROTATION_PHASE_WITHDRAW: RotationPhase
ROTATION_PHASE_DONE: RotationPhase
ROTATION_PHASE_ROLLED_BACK: RotationPhase

class Authority(_message.Message):
    __slots__ = ("kind", "generation", "status", "key_id", "not_before_ms", "not_after_ms", "life_spent_share", "live_leaves")
    KIND_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    LIFE_SPENT_SHARE_FIELD_NUMBER: _ClassVar[int]
    LIVE_LEAVES_FIELD_NUMBER: _ClassVar[int]
    kind: _snapshot_pb2.RootKind
    generation: int
    status: str
    key_id: str
    not_before_ms: int
    not_after_ms: int
    life_spent_share: float
    live_leaves: int
    def __init__(self, kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., generation: _Optional[int] = ..., status: _Optional[str] = ..., key_id: _Optional[str] = ..., not_before_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ..., life_spent_share: _Optional[float] = ..., live_leaves: _Optional[int] = ...) -> None: ...

class SigningKey(_message.Message):
    __slots__ = ("purpose", "generation", "key_id", "status", "statement_not_after_ms", "refused_from_ms")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FROM_MS_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    generation: int
    key_id: str
    status: str
    statement_not_after_ms: int
    refused_from_ms: int
    def __init__(self, purpose: _Optional[str] = ..., generation: _Optional[int] = ..., key_id: _Optional[str] = ..., status: _Optional[str] = ..., statement_not_after_ms: _Optional[int] = ..., refused_from_ms: _Optional[int] = ...) -> None: ...

class RotationStraggler(_message.Message):
    __slots__ = ("kind", "id", "name", "waits_for")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    name: str
    waits_for: str
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., waits_for: _Optional[str] = ...) -> None: ...

class RotationExemption(_message.Message):
    __slots__ = ("subject_id", "name", "reason", "exempted_by", "at_ms")
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXEMPTED_BY_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    subject_id: str
    name: str
    reason: str
    exempted_by: str
    at_ms: int
    def __init__(self, subject_id: _Optional[str] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ..., exempted_by: _Optional[str] = ..., at_ms: _Optional[int] = ...) -> None: ...

class Rotation(_message.Message):
    __slots__ = ("id", "cluster_id", "kind", "phase", "manual", "old_key_id", "next_key_id", "started_by", "started_at_ms", "phase_since_ms", "ended_at_ms", "nodes", "acknowledged", "stragglers", "stragglers_count", "exemptions", "complete")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    OLD_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_BY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PHASE_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    STRAGGLERS_FIELD_NUMBER: _ClassVar[int]
    STRAGGLERS_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    kind: _snapshot_pb2.RootKind
    phase: RotationPhase
    manual: bool
    old_key_id: str
    next_key_id: str
    started_by: str
    started_at_ms: int
    phase_since_ms: int
    ended_at_ms: int
    nodes: int
    acknowledged: int
    stragglers: _containers.RepeatedCompositeFieldContainer[RotationStraggler]
    stragglers_count: int
    exemptions: _containers.RepeatedCompositeFieldContainer[RotationExemption]
    complete: bool
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., phase: _Optional[_Union[RotationPhase, str]] = ..., manual: _Optional[bool] = ..., old_key_id: _Optional[str] = ..., next_key_id: _Optional[str] = ..., started_by: _Optional[str] = ..., started_at_ms: _Optional[int] = ..., phase_since_ms: _Optional[int] = ..., ended_at_ms: _Optional[int] = ..., nodes: _Optional[int] = ..., acknowledged: _Optional[int] = ..., stragglers: _Optional[_Iterable[_Union[RotationStraggler, _Mapping]]] = ..., stragglers_count: _Optional[int] = ..., exemptions: _Optional[_Iterable[_Union[RotationExemption, _Mapping]]] = ..., complete: _Optional[bool] = ...) -> None: ...

class BundleEvidence(_message.Message):
    __slots__ = ("node_id", "name", "version", "hash", "signature", "certificate_der", "tainted_in_use", "received_at_ms")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    TAINTED_IN_USE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    version: int
    hash: bytes
    signature: bytes
    certificate_der: bytes
    tainted_in_use: _containers.RepeatedScalarFieldContainer[str]
    received_at_ms: int
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate_der: _Optional[bytes] = ..., tainted_in_use: _Optional[_Iterable[str]] = ..., received_at_ms: _Optional[int] = ...) -> None: ...

class GetCaStatusRequest(_message.Message):
    __slots__ = ("cluster_id", "all", "evidence")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    all: bool
    evidence: bool
    def __init__(self, cluster_id: _Optional[str] = ..., all: _Optional[bool] = ..., evidence: _Optional[bool] = ...) -> None: ...

class GetCaStatusResponse(_message.Message):
    __slots__ = ("bundle_version", "bundle_hash", "authorities", "signing_keys", "rotations", "evidence")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_HASH_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEYS_FIELD_NUMBER: _ClassVar[int]
    ROTATIONS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    bundle_version: int
    bundle_hash: bytes
    authorities: _containers.RepeatedCompositeFieldContainer[Authority]
    signing_keys: _containers.RepeatedCompositeFieldContainer[SigningKey]
    rotations: _containers.RepeatedCompositeFieldContainer[Rotation]
    evidence: _containers.RepeatedCompositeFieldContainer[BundleEvidence]
    def __init__(self, bundle_version: _Optional[int] = ..., bundle_hash: _Optional[bytes] = ..., authorities: _Optional[_Iterable[_Union[Authority, _Mapping]]] = ..., signing_keys: _Optional[_Iterable[_Union[SigningKey, _Mapping]]] = ..., rotations: _Optional[_Iterable[_Union[Rotation, _Mapping]]] = ..., evidence: _Optional[_Iterable[_Union[BundleEvidence, _Mapping]]] = ...) -> None: ...

class StartRotationRequest(_message.Message):
    __slots__ = ("cluster_id", "kind", "manual")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MANUAL_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: _snapshot_pb2.RootKind
    manual: bool
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., manual: _Optional[bool] = ...) -> None: ...

class StartRotationResponse(_message.Message):
    __slots__ = ("rotation",)
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    rotation: Rotation
    def __init__(self, rotation: _Optional[_Union[Rotation, _Mapping]] = ...) -> None: ...

class AdvanceRotationRequest(_message.Message):
    __slots__ = ("cluster_id", "kind", "phase")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: _snapshot_pb2.RootKind
    phase: RotationPhase
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., phase: _Optional[_Union[RotationPhase, str]] = ...) -> None: ...

class AdvanceRotationResponse(_message.Message):
    __slots__ = ("rotation",)
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    rotation: Rotation
    def __init__(self, rotation: _Optional[_Union[Rotation, _Mapping]] = ...) -> None: ...

class ExemptFromRotationRequest(_message.Message):
    __slots__ = ("cluster_id", "kind", "subject_id", "reason")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: _snapshot_pb2.RootKind
    subject_id: str
    reason: str
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., subject_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ExemptFromRotationResponse(_message.Message):
    __slots__ = ("rotation",)
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    rotation: Rotation
    def __init__(self, rotation: _Optional[_Union[Rotation, _Mapping]] = ...) -> None: ...

class RollBackRotationRequest(_message.Message):
    __slots__ = ("cluster_id", "kind", "reason")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: _snapshot_pb2.RootKind
    reason: str
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[_Union[_snapshot_pb2.RootKind, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class RollBackRotationResponse(_message.Message):
    __slots__ = ("rotation",)
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    rotation: Rotation
    def __init__(self, rotation: _Optional[_Union[Rotation, _Mapping]] = ...) -> None: ...

class RotateSigningKeyRequest(_message.Message):
    __slots__ = ("cluster_id", "purpose", "overlap_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    purpose: _snapshot_pb2.SigningPurpose
    overlap_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., purpose: _Optional[_Union[_snapshot_pb2.SigningPurpose, str]] = ..., overlap_ms: _Optional[int] = ...) -> None: ...

class RotateSigningKeyResponse(_message.Message):
    __slots__ = ("active", "retired")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    active: SigningKey
    retired: SigningKey
    def __init__(self, active: _Optional[_Union[SigningKey, _Mapping]] = ..., retired: _Optional[_Union[SigningKey, _Mapping]] = ...) -> None: ...
