from weft.fabric.v1 import feed_pb2 as _feed_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Certificate(_message.Message):
    __slots__ = ("issuer_key_id", "serial", "kind", "subject_id", "subject_name", "holder_id", "holder_name", "cluster_id", "spiffe_id", "key_hash", "status", "issued_at_ms", "not_before_ms", "not_after_ms", "superseded_at_ms", "revoked_at_ms", "accepted_by")
    ISSUER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SPIFFE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_BY_FIELD_NUMBER: _ClassVar[int]
    issuer_key_id: str
    serial: str
    kind: str
    subject_id: str
    subject_name: str
    holder_id: str
    holder_name: str
    cluster_id: str
    spiffe_id: str
    key_hash: str
    status: str
    issued_at_ms: int
    not_before_ms: int
    not_after_ms: int
    superseded_at_ms: int
    revoked_at_ms: int
    accepted_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, issuer_key_id: _Optional[str] = ..., serial: _Optional[str] = ..., kind: _Optional[str] = ..., subject_id: _Optional[str] = ..., subject_name: _Optional[str] = ..., holder_id: _Optional[str] = ..., holder_name: _Optional[str] = ..., cluster_id: _Optional[str] = ..., spiffe_id: _Optional[str] = ..., key_hash: _Optional[str] = ..., status: _Optional[str] = ..., issued_at_ms: _Optional[int] = ..., not_before_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ..., superseded_at_ms: _Optional[int] = ..., revoked_at_ms: _Optional[int] = ..., accepted_by: _Optional[_Iterable[str]] = ...) -> None: ...

class ListCertificatesRequest(_message.Message):
    __slots__ = ("cluster_id", "kind", "subject", "status", "expiring_within_ms", "limit")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRING_WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    kind: str
    subject: str
    status: str
    expiring_within_ms: int
    limit: int
    def __init__(self, cluster_id: _Optional[str] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., status: _Optional[str] = ..., expiring_within_ms: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListCertificatesResponse(_message.Message):
    __slots__ = ("certificates", "truncated")
    CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    certificates: _containers.RepeatedCompositeFieldContainer[Certificate]
    truncated: bool
    def __init__(self, certificates: _Optional[_Iterable[_Union[Certificate, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class GetCertificateRequest(_message.Message):
    __slots__ = ("cluster_id", "serial", "issuer_key_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    ISSUER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    serial: str
    issuer_key_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., serial: _Optional[str] = ..., issuer_key_id: _Optional[str] = ...) -> None: ...

class GetCertificateResponse(_message.Message):
    __slots__ = ("certificate", "roles", "organization_id", "pool_ids", "same_key", "holder_beat_age_ms", "subject_status", "revoked_by")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_IDS_FIELD_NUMBER: _ClassVar[int]
    SAME_KEY_FIELD_NUMBER: _ClassVar[int]
    HOLDER_BEAT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_STATUS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_BY_FIELD_NUMBER: _ClassVar[int]
    certificate: Certificate
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    organization_id: str
    pool_ids: _containers.RepeatedScalarFieldContainer[str]
    same_key: _containers.RepeatedCompositeFieldContainer[Certificate]
    holder_beat_age_ms: int
    subject_status: str
    revoked_by: _containers.RepeatedCompositeFieldContainer[RevokedBy]
    def __init__(self, certificate: _Optional[_Union[Certificate, _Mapping]] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., organization_id: _Optional[str] = ..., pool_ids: _Optional[_Iterable[str]] = ..., same_key: _Optional[_Iterable[_Union[Certificate, _Mapping]]] = ..., holder_beat_age_ms: _Optional[int] = ..., subject_status: _Optional[str] = ..., revoked_by: _Optional[_Iterable[_Union[RevokedBy, _Mapping]]] = ...) -> None: ...

class RevokedBy(_message.Message):
    __slots__ = ("what", "feed_epoch", "feed_seq", "revoked_at_ms", "reason", "actor")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    what: str
    feed_epoch: int
    feed_seq: int
    revoked_at_ms: int
    reason: str
    actor: str
    def __init__(self, what: _Optional[str] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., revoked_at_ms: _Optional[int] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class RevokeCertificateRequest(_message.Message):
    __slots__ = ("cluster_id", "serial", "issuer_key_id", "reason")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    ISSUER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    serial: str
    issuer_key_id: str
    reason: str
    def __init__(self, cluster_id: _Optional[str] = ..., serial: _Optional[str] = ..., issuer_key_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeCertificateResponse(_message.Message):
    __slots__ = ("certificate", "feeds")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    certificate: Certificate
    feeds: _containers.RepeatedCompositeFieldContainer[_feed_pb2.FeedPosition]
    def __init__(self, certificate: _Optional[_Union[Certificate, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[_feed_pb2.FeedPosition, _Mapping]]] = ...) -> None: ...

class ListFeedReceiptsRequest(_message.Message):
    __slots__ = ("cluster_id", "feed_epoch", "feed_seq")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    feed_epoch: int
    feed_seq: int
    def __init__(self, cluster_id: _Optional[str] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ...) -> None: ...

class ListFeedReceiptsResponse(_message.Message):
    __slots__ = ("feed_epoch", "feed_seq", "nodes")
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    feed_epoch: int
    feed_seq: int
    nodes: _containers.RepeatedCompositeFieldContainer[FeedReceiptState]
    def __init__(self, feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[FeedReceiptState, _Mapping]]] = ...) -> None: ...

class FeedReceiptState(_message.Message):
    __slots__ = ("node_id", "node_name", "applied", "feed_epoch", "feed_seq", "applied_at_ms", "beat_age_ms", "health", "receipt")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    BEAT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    node_name: str
    applied: bool
    feed_epoch: int
    feed_seq: int
    applied_at_ms: int
    beat_age_ms: int
    health: _role_pb2.NodeHealth
    receipt: _feed_pb2.FeedReceipt
    def __init__(self, node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., applied: _Optional[bool] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., applied_at_ms: _Optional[int] = ..., beat_age_ms: _Optional[int] = ..., health: _Optional[_Union[_role_pb2.NodeHealth, str]] = ..., receipt: _Optional[_Union[_feed_pb2.FeedReceipt, _Mapping]] = ...) -> None: ...
