from weft.fabric.v1 import feed_pb2 as _feed_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BeatRequest(_message.Message):
    __slots__ = ("boot_id", "seq", "sent_at_ms", "load", "draining", "snapshot_epoch", "snapshot_version", "feed_epoch", "feed_seq", "capabilities", "version", "last_round_trip_ms", "audit_head", "operator_address", "listeners", "bundle_ack", "feed_receipt", "clock_drift_ppm")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LAST_ROUND_TRIP_MS_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HEAD_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_ACK_FIELD_NUMBER: _ClassVar[int]
    FEED_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CLOCK_DRIFT_PPM_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    seq: int
    sent_at_ms: int
    load: float
    draining: bool
    snapshot_epoch: int
    snapshot_version: int
    feed_epoch: int
    feed_seq: int
    capabilities: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeCapability]
    version: str
    last_round_trip_ms: float
    audit_head: _snapshot_pb2.AuditHead
    operator_address: str
    listeners: _containers.RepeatedCompositeFieldContainer[ListenerReport]
    bundle_ack: BundleAcknowledgement
    feed_receipt: _feed_pb2.FeedReceipt
    clock_drift_ppm: float
    def __init__(self, boot_id: _Optional[str] = ..., seq: _Optional[int] = ..., sent_at_ms: _Optional[int] = ..., load: _Optional[float] = ..., draining: _Optional[bool] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[_role_pb2.NodeCapability, str]]] = ..., version: _Optional[str] = ..., last_round_trip_ms: _Optional[float] = ..., audit_head: _Optional[_Union[_snapshot_pb2.AuditHead, _Mapping]] = ..., operator_address: _Optional[str] = ..., listeners: _Optional[_Iterable[_Union[ListenerReport, _Mapping]]] = ..., bundle_ack: _Optional[_Union[BundleAcknowledgement, _Mapping]] = ..., feed_receipt: _Optional[_Union[_feed_pb2.FeedReceipt, _Mapping]] = ..., clock_drift_ppm: _Optional[float] = ...) -> None: ...

class BundleAcknowledgement(_message.Message):
    __slots__ = ("version", "hash", "signature", "tainted_in_use")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TAINTED_IN_USE_FIELD_NUMBER: _ClassVar[int]
    version: int
    hash: bytes
    signature: bytes
    tainted_in_use: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., tainted_in_use: _Optional[_Iterable[str]] = ...) -> None: ...

class ListenerReport(_message.Message):
    __slots__ = ("listener_id", "bound_address", "error")
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    BOUND_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    listener_id: str
    bound_address: str
    error: str
    def __init__(self, listener_id: _Optional[str] = ..., bound_address: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class BeatResponse(_message.Message):
    __slots__ = ("next_beat_ms", "received_at_ms", "snapshot_epoch", "snapshot_version", "health", "skew_ms", "return_feeds", "acknowledged_bundle_version")
    NEXT_BEAT_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    SKEW_MS_FIELD_NUMBER: _ClassVar[int]
    RETURN_FEEDS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    next_beat_ms: int
    received_at_ms: int
    snapshot_epoch: int
    snapshot_version: int
    health: _role_pb2.NodeHealth
    skew_ms: float
    return_feeds: bool
    acknowledged_bundle_version: int
    def __init__(self, next_beat_ms: _Optional[int] = ..., received_at_ms: _Optional[int] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., health: _Optional[_Union[_role_pb2.NodeHealth, str]] = ..., skew_ms: _Optional[float] = ..., return_feeds: _Optional[bool] = ..., acknowledged_bundle_version: _Optional[int] = ...) -> None: ...
