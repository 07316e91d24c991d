from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Revocation(_message.Message):
    __slots__ = ("issuer_key_id", "serial", "key_hash", "spiffe_id", "revoked_at_ms", "not_after_ms")
    ISSUER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    SPIFFE_ID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    issuer_key_id: bytes
    serial: bytes
    key_hash: bytes
    spiffe_id: str
    revoked_at_ms: int
    not_after_ms: int
    def __init__(self, issuer_key_id: _Optional[bytes] = ..., serial: _Optional[bytes] = ..., key_hash: _Optional[bytes] = ..., spiffe_id: _Optional[str] = ..., revoked_at_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class RevocationFeed(_message.Message):
    __slots__ = ("cluster_id", "epoch", "seq", "issued_at_ms", "revocations")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    epoch: int
    seq: int
    issued_at_ms: int
    revocations: _containers.RepeatedCompositeFieldContainer[Revocation]
    def __init__(self, cluster_id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., revocations: _Optional[_Iterable[_Union[Revocation, _Mapping]]] = ...) -> None: ...

class SignedFeed(_message.Message):
    __slots__ = ("payload", "key_id", "signature", "signing_key")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SIGNING_KEY_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    key_id: str
    signature: bytes
    signing_key: _snapshot_pb2.SignedSigningKey
    def __init__(self, payload: _Optional[bytes] = ..., key_id: _Optional[str] = ..., signature: _Optional[bytes] = ..., signing_key: _Optional[_Union[_snapshot_pb2.SignedSigningKey, _Mapping]] = ...) -> None: ...

class FeedPosition(_message.Message):
    __slots__ = ("cluster_id", "epoch", "seq")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    epoch: int
    seq: int
    def __init__(self, cluster_id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ...) -> None: ...

class FeedReceiptStatement(_message.Message):
    __slots__ = ("cluster_id", "node_id", "boot_id", "epoch", "seq", "applied_at_ms", "revocations", "forks", "forked_epoch", "forked_seq", "forked_hash", "overflowing", "content_hash")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    FORKS_FIELD_NUMBER: _ClassVar[int]
    FORKED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FORKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    FORKED_HASH_FIELD_NUMBER: _ClassVar[int]
    OVERFLOWING_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    boot_id: str
    epoch: int
    seq: int
    applied_at_ms: int
    revocations: int
    forks: int
    forked_epoch: int
    forked_seq: int
    forked_hash: bytes
    overflowing: bool
    content_hash: bytes
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., applied_at_ms: _Optional[int] = ..., revocations: _Optional[int] = ..., forks: _Optional[int] = ..., forked_epoch: _Optional[int] = ..., forked_seq: _Optional[int] = ..., forked_hash: _Optional[bytes] = ..., overflowing: _Optional[bool] = ..., content_hash: _Optional[bytes] = ...) -> None: ...

class FeedReceipt(_message.Message):
    __slots__ = ("statement", "signature", "key_hash")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    signature: bytes
    key_hash: bytes
    def __init__(self, statement: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., key_hash: _Optional[bytes] = ...) -> None: ...
