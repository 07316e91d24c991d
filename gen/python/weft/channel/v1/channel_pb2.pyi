from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_UNSPECIFIED: _ClassVar[Lane]
    LANE_INTERACTIVE: _ClassVar[Lane]
    LANE_BULK: _ClassVar[Lane]

class ChannelStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_STAGE_UNSPECIFIED: _ClassVar[ChannelStage]
    CHANNEL_STAGE_ENTRY: _ClassVar[ChannelStage]
    CHANNEL_STAGE_FABRIC: _ClassVar[ChannelStage]
    CHANNEL_STAGE_EGRESS: _ClassVar[ChannelStage]
    CHANNEL_STAGE_TARGET: _ClassVar[ChannelStage]

class ChannelEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_END_UNSPECIFIED: _ClassVar[ChannelEnd]
    CHANNEL_END_UNKNOWN_RESOURCE: _ClassVar[ChannelEnd]
    CHANNEL_END_NOT_ALLOWED: _ClassVar[ChannelEnd]
    CHANNEL_END_TARGET_REFUSED: _ClassVar[ChannelEnd]
    CHANNEL_END_TARGET_UNREACHABLE: _ClassVar[ChannelEnd]
    CHANNEL_END_TARGET_TIMEOUT: _ClassVar[ChannelEnd]
    CHANNEL_END_TARGET_RESET: _ClassVar[ChannelEnd]
    CHANNEL_END_CANCELED: _ClassVar[ChannelEnd]
    CHANNEL_END_NO_PATH: _ClassVar[ChannelEnd]
    CHANNEL_END_TRUNK_LOST: _ClassVar[ChannelEnd]
    CHANNEL_END_CREDIT_OVERRUN: _ClassVar[ChannelEnd]
    CHANNEL_END_PROTOCOL: _ClassVar[ChannelEnd]
    CHANNEL_END_LIMIT: _ClassVar[ChannelEnd]
    CHANNEL_END_REVOKED: _ClassVar[ChannelEnd]
    CHANNEL_END_DRAINING: _ClassVar[ChannelEnd]
    CHANNEL_END_INTERNAL: _ClassVar[ChannelEnd]
    CHANNEL_END_MESSAGE_TOO_LARGE: _ClassVar[ChannelEnd]
    CHANNEL_END_MESSAGE_TRUNCATED: _ClassVar[ChannelEnd]
    CHANNEL_END_LEASE_HELD: _ClassVar[ChannelEnd]
    CHANNEL_END_FENCED: _ClassVar[ChannelEnd]
    CHANNEL_END_LEASE_UNKNOWN: _ClassVar[ChannelEnd]
    CHANNEL_END_OFFLINE: _ClassVar[ChannelEnd]

class NoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_KIND_UNSPECIFIED: _ClassVar[NoticeKind]
    NOTICE_KIND_DRAINING: _ClassVar[NoticeKind]
    NOTICE_KIND_WANT_PATH: _ClassVar[NoticeKind]
    NOTICE_KIND_TRUNK_CLOSED: _ClassVar[NoticeKind]
    NOTICE_KIND_TRUNK_PROTOCOL_ERROR: _ClassVar[NoticeKind]
    NOTICE_KIND_UNKNOWN_TRUNK: _ClassVar[NoticeKind]
LANE_UNSPECIFIED: Lane
LANE_INTERACTIVE: Lane
LANE_BULK: Lane
CHANNEL_STAGE_UNSPECIFIED: ChannelStage
CHANNEL_STAGE_ENTRY: ChannelStage
CHANNEL_STAGE_FABRIC: ChannelStage
CHANNEL_STAGE_EGRESS: ChannelStage
CHANNEL_STAGE_TARGET: ChannelStage
CHANNEL_END_UNSPECIFIED: ChannelEnd
CHANNEL_END_UNKNOWN_RESOURCE: ChannelEnd
CHANNEL_END_NOT_ALLOWED: ChannelEnd
CHANNEL_END_TARGET_REFUSED: ChannelEnd
CHANNEL_END_TARGET_UNREACHABLE: ChannelEnd
CHANNEL_END_TARGET_TIMEOUT: ChannelEnd
CHANNEL_END_TARGET_RESET: ChannelEnd
CHANNEL_END_CANCELED: ChannelEnd
CHANNEL_END_NO_PATH: ChannelEnd
CHANNEL_END_TRUNK_LOST: ChannelEnd
CHANNEL_END_CREDIT_OVERRUN: ChannelEnd
CHANNEL_END_PROTOCOL: ChannelEnd
CHANNEL_END_LIMIT: ChannelEnd
CHANNEL_END_REVOKED: ChannelEnd
CHANNEL_END_DRAINING: ChannelEnd
CHANNEL_END_INTERNAL: ChannelEnd
CHANNEL_END_MESSAGE_TOO_LARGE: ChannelEnd
CHANNEL_END_MESSAGE_TRUNCATED: ChannelEnd
CHANNEL_END_LEASE_HELD: ChannelEnd
CHANNEL_END_FENCED: ChannelEnd
CHANNEL_END_LEASE_UNKNOWN: ChannelEnd
CHANNEL_END_OFFLINE: ChannelEnd
NOTICE_KIND_UNSPECIFIED: NoticeKind
NOTICE_KIND_DRAINING: NoticeKind
NOTICE_KIND_WANT_PATH: NoticeKind
NOTICE_KIND_TRUNK_CLOSED: NoticeKind
NOTICE_KIND_TRUNK_PROTOCOL_ERROR: NoticeKind
NOTICE_KIND_UNKNOWN_TRUNK: NoticeKind

class OpenRequest(_message.Message):
    __slots__ = ("attach", "batch", "ack", "ping", "pong", "notice", "move")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    attach: Attach
    batch: FrameBatch
    ack: Ack
    ping: Ping
    pong: Pong
    notice: Notice
    move: Move
    def __init__(self, attach: _Optional[_Union[Attach, _Mapping]] = ..., batch: _Optional[_Union[FrameBatch, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ...) -> None: ...

class OpenResponse(_message.Message):
    __slots__ = ("attach", "batch", "ack", "ping", "pong", "notice", "move")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    attach: Attach
    batch: FrameBatch
    ack: Ack
    ping: Ping
    pong: Pong
    notice: Notice
    move: Move
    def __init__(self, attach: _Optional[_Union[Attach, _Mapping]] = ..., batch: _Optional[_Union[FrameBatch, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., move: _Optional[_Union[Move, _Mapping]] = ...) -> None: ...

class EchoRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: FrameBatch
    def __init__(self, batch: _Optional[_Union[FrameBatch, _Mapping]] = ...) -> None: ...

class EchoResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: FrameBatch
    def __init__(self, batch: _Optional[_Union[FrameBatch, _Mapping]] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("trunk_id", "lane", "generation", "next_expected_seq", "proof", "ask", "ask_signature")
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NEXT_EXPECTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    ASK_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    trunk_id: bytes
    lane: Lane
    generation: int
    next_expected_seq: int
    proof: bytes
    ask: bytes
    ask_signature: bytes
    def __init__(self, trunk_id: _Optional[bytes] = ..., lane: _Optional[_Union[Lane, str]] = ..., generation: _Optional[int] = ..., next_expected_seq: _Optional[int] = ..., proof: _Optional[bytes] = ..., ask: _Optional[bytes] = ..., ask_signature: _Optional[bytes] = ...) -> None: ...

class FrameBatch(_message.Message):
    __slots__ = ("seq", "frames")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    seq: int
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, seq: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("channel_id", "data", "open", "opened", "half_close", "reset", "credit", "tombstone")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_FIELD_NUMBER: _ClassVar[int]
    channel_id: int
    data: bytes
    open: ChannelOpen
    opened: ChannelOpened
    half_close: HalfClose
    reset: ChannelReset
    credit: Credit
    tombstone: Tombstone
    def __init__(self, channel_id: _Optional[int] = ..., data: _Optional[bytes] = ..., open: _Optional[_Union[ChannelOpen, _Mapping]] = ..., opened: _Optional[_Union[ChannelOpened, _Mapping]] = ..., half_close: _Optional[_Union[HalfClose, _Mapping]] = ..., reset: _Optional[_Union[ChannelReset, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., tombstone: _Optional[_Union[Tombstone, _Mapping]] = ...) -> None: ...

class ChannelOpen(_message.Message):
    __slots__ = ("resource", "origin", "correlation_id", "contract", "flow_isolation_id", "traceparent")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    FLOW_ISOLATION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    resource: str
    origin: Origin
    correlation_id: str
    contract: bytes
    flow_isolation_id: str
    traceparent: str
    def __init__(self, resource: _Optional[str] = ..., origin: _Optional[_Union[Origin, _Mapping]] = ..., correlation_id: _Optional[str] = ..., contract: _Optional[bytes] = ..., flow_isolation_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., **kwargs) -> None: ...

class Origin(_message.Message):
    __slots__ = ("assurance", "client_id", "organization_id", "entry_node_id", "listener_id", "source_address")
    ASSURANCE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    assurance: _role_pb2.OriginAssurance
    client_id: str
    organization_id: str
    entry_node_id: str
    listener_id: str
    source_address: str
    def __init__(self, assurance: _Optional[_Union[_role_pb2.OriginAssurance, str]] = ..., client_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., entry_node_id: _Optional[str] = ..., listener_id: _Optional[str] = ..., source_address: _Optional[str] = ...) -> None: ...

class ChannelOpened(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HalfClose(_message.Message):
    __slots__ = ("total_bytes",)
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    total_bytes: int
    def __init__(self, total_bytes: _Optional[int] = ...) -> None: ...

class ChannelReset(_message.Message):
    __slots__ = ("end", "stage", "written_to_target", "correlation_id")
    END_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_TO_TARGET_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    end: ChannelEnd
    stage: ChannelStage
    written_to_target: int
    correlation_id: str
    def __init__(self, end: _Optional[_Union[ChannelEnd, str]] = ..., stage: _Optional[_Union[ChannelStage, str]] = ..., written_to_target: _Optional[int] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("limit_bytes", "written_to_target", "returns_seen", "own_limit_bytes")
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_TO_TARGET_FIELD_NUMBER: _ClassVar[int]
    RETURNS_SEEN_FIELD_NUMBER: _ClassVar[int]
    OWN_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    limit_bytes: int
    written_to_target: int
    returns_seen: int
    own_limit_bytes: int
    def __init__(self, limit_bytes: _Optional[int] = ..., written_to_target: _Optional[int] = ..., returns_seen: _Optional[int] = ..., own_limit_bytes: _Optional[int] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("next_expected_seq",)
    NEXT_EXPECTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    next_expected_seq: int
    def __init__(self, next_expected_seq: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("id", "owing")
    ID_FIELD_NUMBER: _ClassVar[int]
    OWING_FIELD_NUMBER: _ClassVar[int]
    id: int
    owing: bool
    def __init__(self, id: _Optional[int] = ..., owing: _Optional[bool] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("kind", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: NoticeKind
    detail: str
    def __init__(self, kind: _Optional[_Union[NoticeKind, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...
