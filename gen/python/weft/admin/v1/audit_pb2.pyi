from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuditRecord(_message.Message):
    __slots__ = ("seq", "at_ms", "actor", "cluster_id", "organization_id", "action", "object", "before", "after", "result", "prev_hash", "hash")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PREV_HASH_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    at_ms: int
    actor: str
    cluster_id: str
    organization_id: str
    action: str
    object: str
    before: str
    after: str
    result: str
    prev_hash: bytes
    hash: bytes
    def __init__(self, seq: _Optional[int] = ..., at_ms: _Optional[int] = ..., actor: _Optional[str] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., action: _Optional[str] = ..., object: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., result: _Optional[str] = ..., prev_hash: _Optional[bytes] = ..., hash: _Optional[bytes] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("cluster_id", "after_seq", "limit")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    after_seq: int
    limit: int
    def __init__(self, cluster_id: _Optional[str] = ..., after_seq: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[AuditRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[AuditRecord, _Mapping]]] = ...) -> None: ...

class ExportAuditRequest(_message.Message):
    __slots__ = ("after_seq", "until_seq")
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    UNTIL_SEQ_FIELD_NUMBER: _ClassVar[int]
    after_seq: int
    until_seq: int
    def __init__(self, after_seq: _Optional[int] = ..., until_seq: _Optional[int] = ...) -> None: ...

class ExportAuditResponse(_message.Message):
    __slots__ = ("chain", "records", "witnesses")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    WITNESSES_FIELD_NUMBER: _ClassVar[int]
    chain: AuditChain
    records: AuditRecords
    witnesses: AuditWitnesses
    def __init__(self, chain: _Optional[_Union[AuditChain, _Mapping]] = ..., records: _Optional[_Union[AuditRecords, _Mapping]] = ..., witnesses: _Optional[_Union[AuditWitnesses, _Mapping]] = ...) -> None: ...

class AuditChain(_message.Message):
    __slots__ = ("installation", "trust_domain", "epoch", "head_seq", "head_hash", "before_hash", "at_ms")
    INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQ_FIELD_NUMBER: _ClassVar[int]
    HEAD_HASH_FIELD_NUMBER: _ClassVar[int]
    BEFORE_HASH_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    installation: bytes
    trust_domain: str
    epoch: int
    head_seq: int
    head_hash: bytes
    before_hash: bytes
    at_ms: int
    def __init__(self, installation: _Optional[bytes] = ..., trust_domain: _Optional[str] = ..., epoch: _Optional[int] = ..., head_seq: _Optional[int] = ..., head_hash: _Optional[bytes] = ..., before_hash: _Optional[bytes] = ..., at_ms: _Optional[int] = ...) -> None: ...

class AuditRecords(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[AuditRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[AuditRecord, _Mapping]]] = ...) -> None: ...

class AuditWitnesses(_message.Message):
    __slots__ = ("witnesses",)
    WITNESSES_FIELD_NUMBER: _ClassVar[int]
    witnesses: _containers.RepeatedCompositeFieldContainer[AuditWitness]
    def __init__(self, witnesses: _Optional[_Iterable[_Union[AuditWitness, _Mapping]]] = ...) -> None: ...

class AuditWitness(_message.Message):
    __slots__ = ("cluster_id", "node_id", "node_name", "epoch", "seq", "hash", "reported_at_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    node_name: str
    epoch: int
    seq: int
    hash: bytes
    reported_at_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., hash: _Optional[bytes] = ..., reported_at_ms: _Optional[int] = ...) -> None: ...
