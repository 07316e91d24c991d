from weft.fabric.v1 import feed_pb2 as _feed_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PathPurpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_PURPOSE_UNSPECIFIED: _ClassVar[PathPurpose]
    PATH_PURPOSE_NEW: _ClassVar[PathPurpose]
    PATH_PURPOSE_STANDBY: _ClassVar[PathPurpose]
    PATH_PURPOSE_RESUME: _ClassVar[PathPurpose]
    PATH_PURPOSE_PROBE: _ClassVar[PathPurpose]

class FarEdge(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAR_EDGE_UNSPECIFIED: _ClassVar[FarEdge]
    FAR_EDGE_NODE: _ClassVar[FarEdge]
    FAR_EDGE_POOL: _ClassVar[FarEdge]
PATH_PURPOSE_UNSPECIFIED: PathPurpose
PATH_PURPOSE_NEW: PathPurpose
PATH_PURPOSE_STANDBY: PathPurpose
PATH_PURPOSE_RESUME: PathPurpose
PATH_PURPOSE_PROBE: PathPurpose
FAR_EDGE_UNSPECIFIED: FarEdge
FAR_EDGE_NODE: FarEdge
FAR_EDGE_POOL: FarEdge

class PathOffer(_message.Message):
    __slots__ = ("trust_domain", "cluster_id", "initiator_id", "initiator_leaf_serial", "hops", "far_edge", "purpose", "trunk_id", "organization_id", "snapshot_epoch", "snapshot_version", "feed_epoch", "feed_seq", "issued_at_ms", "expires_at_ms", "nonce", "ask_hash", "pool_id", "rate_bytes_per_second", "burst_bytes")
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_ID_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_LEAF_SERIAL_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FAR_EDGE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ASK_HASH_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RATE_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BURST_BYTES_FIELD_NUMBER: _ClassVar[int]
    trust_domain: str
    cluster_id: str
    initiator_id: str
    initiator_leaf_serial: bytes
    hops: _containers.RepeatedScalarFieldContainer[str]
    far_edge: FarEdge
    purpose: PathPurpose
    trunk_id: bytes
    organization_id: str
    snapshot_epoch: int
    snapshot_version: int
    feed_epoch: int
    feed_seq: int
    issued_at_ms: int
    expires_at_ms: int
    nonce: bytes
    ask_hash: bytes
    pool_id: str
    rate_bytes_per_second: int
    burst_bytes: int
    def __init__(self, trust_domain: _Optional[str] = ..., cluster_id: _Optional[str] = ..., initiator_id: _Optional[str] = ..., initiator_leaf_serial: _Optional[bytes] = ..., hops: _Optional[_Iterable[str]] = ..., far_edge: _Optional[_Union[FarEdge, str]] = ..., purpose: _Optional[_Union[PathPurpose, str]] = ..., trunk_id: _Optional[bytes] = ..., organization_id: _Optional[str] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., nonce: _Optional[bytes] = ..., ask_hash: _Optional[bytes] = ..., pool_id: _Optional[str] = ..., rate_bytes_per_second: _Optional[int] = ..., burst_bytes: _Optional[int] = ..., **kwargs) -> None: ...

class OpenPathRequest(_message.Message):
    __slots__ = ("offer", "signature", "initiator_certificate")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    offer: bytes
    signature: bytes
    initiator_certificate: bytes
    def __init__(self, offer: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., initiator_certificate: _Optional[bytes] = ...) -> None: ...

class OpenPathResponse(_message.Message):
    __slots__ = ("ready", "draining", "revoked", "closing")
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    ready: PathReady
    draining: PathDraining
    revoked: PathRevoked
    closing: PathClosing
    def __init__(self, ready: _Optional[_Union[PathReady, _Mapping]] = ..., draining: _Optional[_Union[PathDraining, _Mapping]] = ..., revoked: _Optional[_Union[PathRevoked, _Mapping]] = ..., closing: _Optional[_Union[PathClosing, _Mapping]] = ...) -> None: ...

class PathReady(_message.Message):
    __slots__ = ("leg_token",)
    LEG_TOKEN_FIELD_NUMBER: _ClassVar[int]
    leg_token: bytes
    def __init__(self, leg_token: _Optional[bytes] = ...) -> None: ...

class PathDraining(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    def __init__(self, node_id: _Optional[str] = ...) -> None: ...

class PathRevoked(_message.Message):
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    def __init__(self, node_id: _Optional[str] = ...) -> None: ...

class PathClosing(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class DialBackRequest(_message.Message):
    __slots__ = ("leg_token", "path_token")
    LEG_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PATH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    leg_token: bytes
    path_token: bytes
    def __init__(self, leg_token: _Optional[bytes] = ..., path_token: _Optional[bytes] = ...) -> None: ...

class DialBackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExchangeFeedRequest(_message.Message):
    __slots__ = ("feed", "epoch", "seq", "issued_at_ms")
    FEED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    feed: _feed_pb2.SignedFeed
    epoch: int
    seq: int
    issued_at_ms: int
    def __init__(self, feed: _Optional[_Union[_feed_pb2.SignedFeed, _Mapping]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., issued_at_ms: _Optional[int] = ...) -> None: ...

class ExchangeFeedResponse(_message.Message):
    __slots__ = ("feed", "epoch", "seq", "issued_at_ms")
    FEED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    feed: _feed_pb2.SignedFeed
    epoch: int
    seq: int
    issued_at_ms: int
    def __init__(self, feed: _Optional[_Union[_feed_pb2.SignedFeed, _Mapping]] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., issued_at_ms: _Optional[int] = ...) -> None: ...
