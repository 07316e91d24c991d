from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreDriver(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORE_DRIVER_UNSPECIFIED: _ClassVar[StoreDriver]
    STORE_DRIVER_EMBEDDED: _ClassVar[StoreDriver]
    STORE_DRIVER_POSTGRES: _ClassVar[StoreDriver]
STORE_DRIVER_UNSPECIFIED: StoreDriver
STORE_DRIVER_EMBEDDED: StoreDriver
STORE_DRIVER_POSTGRES: StoreDriver

class StoreMember(_message.Message):
    __slots__ = ("name", "state", "in_sync", "lag_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IN_SYNC_FIELD_NUMBER: _ClassVar[int]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    in_sync: bool
    lag_bytes: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., in_sync: _Optional[bool] = ..., lag_bytes: _Optional[int] = ...) -> None: ...

class StoreTable(_message.Message):
    __slots__ = ("name", "rows")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    name: str
    rows: int
    def __init__(self, name: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class StoreStatus(_message.Message):
    __slots__ = ("driver", "server_version", "primary", "timeline", "members", "schema_found", "schema_expected", "size_bytes", "tables", "trust_domain", "epoch", "audit_seq", "audit_hash", "moved", "restore")
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FOUND_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_EXPECTED_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AUDIT_SEQ_FIELD_NUMBER: _ClassVar[int]
    AUDIT_HASH_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    driver: StoreDriver
    server_version: str
    primary: bool
    timeline: int
    members: _containers.RepeatedCompositeFieldContainer[StoreMember]
    schema_found: int
    schema_expected: int
    size_bytes: int
    tables: _containers.RepeatedCompositeFieldContainer[StoreTable]
    trust_domain: str
    epoch: int
    audit_seq: int
    audit_hash: bytes
    moved: str
    restore: RestoreStatus
    def __init__(self, driver: _Optional[_Union[StoreDriver, str]] = ..., server_version: _Optional[str] = ..., primary: _Optional[bool] = ..., timeline: _Optional[int] = ..., members: _Optional[_Iterable[_Union[StoreMember, _Mapping]]] = ..., schema_found: _Optional[int] = ..., schema_expected: _Optional[int] = ..., size_bytes: _Optional[int] = ..., tables: _Optional[_Iterable[_Union[StoreTable, _Mapping]]] = ..., trust_domain: _Optional[str] = ..., epoch: _Optional[int] = ..., audit_seq: _Optional[int] = ..., audit_hash: _Optional[bytes] = ..., moved: _Optional[str] = ..., restore: _Optional[_Union[RestoreStatus, _Mapping]] = ...) -> None: ...

class RestoreStatus(_message.Message):
    __slots__ = ("restore_id", "restored_at_ms", "taken_at_ms", "backup_epoch", "backup_audit_seq", "epoch", "waiting", "settled_how", "lost_audit_records", "lost_snapshot_versions", "lost_feed_positions", "revocations_learned", "unknown_node_ids", "silent_node_names", "gap")
    RESTORE_ID_FIELD_NUMBER: _ClassVar[int]
    RESTORED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_MS_FIELD_NUMBER: _ClassVar[int]
    BACKUP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BACKUP_AUDIT_SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    SETTLED_HOW_FIELD_NUMBER: _ClassVar[int]
    LOST_AUDIT_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LOST_SNAPSHOT_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LOST_FEED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_LEARNED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_NODE_IDS_FIELD_NUMBER: _ClassVar[int]
    SILENT_NODE_NAMES_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    restore_id: str
    restored_at_ms: int
    taken_at_ms: int
    backup_epoch: int
    backup_audit_seq: int
    epoch: int
    waiting: bool
    settled_how: str
    lost_audit_records: int
    lost_snapshot_versions: int
    lost_feed_positions: int
    revocations_learned: int
    unknown_node_ids: _containers.RepeatedScalarFieldContainer[str]
    silent_node_names: _containers.RepeatedScalarFieldContainer[str]
    gap: str
    def __init__(self, restore_id: _Optional[str] = ..., restored_at_ms: _Optional[int] = ..., taken_at_ms: _Optional[int] = ..., backup_epoch: _Optional[int] = ..., backup_audit_seq: _Optional[int] = ..., epoch: _Optional[int] = ..., waiting: _Optional[bool] = ..., settled_how: _Optional[str] = ..., lost_audit_records: _Optional[int] = ..., lost_snapshot_versions: _Optional[int] = ..., lost_feed_positions: _Optional[int] = ..., revocations_learned: _Optional[int] = ..., unknown_node_ids: _Optional[_Iterable[str]] = ..., silent_node_names: _Optional[_Iterable[str]] = ..., gap: _Optional[str] = ...) -> None: ...

class GetStoreStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStoreStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: StoreStatus
    def __init__(self, status: _Optional[_Union[StoreStatus, _Mapping]] = ...) -> None: ...

class BackupStoreRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupStoreResponse(_message.Message):
    __slots__ = ("piece",)
    PIECE_FIELD_NUMBER: _ClassVar[int]
    piece: bytes
    def __init__(self, piece: _Optional[bytes] = ...) -> None: ...

class AcceptRestoreRequest(_message.Message):
    __slots__ = ("restore_id",)
    RESTORE_ID_FIELD_NUMBER: _ClassVar[int]
    restore_id: str
    def __init__(self, restore_id: _Optional[str] = ...) -> None: ...

class AcceptRestoreResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
