from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("node_id", "name", "cluster_id", "boot_id", "pid", "started_at_ms", "roles", "draining", "public_address", "operator_address", "snapshot_epoch", "snapshot_version", "snapshot_not_after_ms", "feed_epoch", "feed_seq", "leaf_not_after_ms", "control_heard_ms_ago", "links", "listeners", "counters", "version", "rss_peak_bytes", "offline")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    FEED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    FEED_SEQ_FIELD_NUMBER: _ClassVar[int]
    LEAF_NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_HEARD_MS_AGO_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RSS_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    cluster_id: str
    boot_id: str
    pid: int
    started_at_ms: int
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    draining: bool
    public_address: str
    operator_address: str
    snapshot_epoch: int
    snapshot_version: int
    snapshot_not_after_ms: int
    feed_epoch: int
    feed_seq: int
    leaf_not_after_ms: int
    control_heard_ms_ago: int
    links: _containers.RepeatedCompositeFieldContainer[LinkStatus]
    listeners: _containers.RepeatedCompositeFieldContainer[ListenerStatus]
    counters: Counters
    version: str
    rss_peak_bytes: int
    offline: OfflineStatus
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., cluster_id: _Optional[str] = ..., boot_id: _Optional[str] = ..., pid: _Optional[int] = ..., started_at_ms: _Optional[int] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., draining: _Optional[bool] = ..., public_address: _Optional[str] = ..., operator_address: _Optional[str] = ..., snapshot_epoch: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., snapshot_not_after_ms: _Optional[int] = ..., feed_epoch: _Optional[int] = ..., feed_seq: _Optional[int] = ..., leaf_not_after_ms: _Optional[int] = ..., control_heard_ms_ago: _Optional[int] = ..., links: _Optional[_Iterable[_Union[LinkStatus, _Mapping]]] = ..., listeners: _Optional[_Iterable[_Union[ListenerStatus, _Mapping]]] = ..., counters: _Optional[_Union[Counters, _Mapping]] = ..., version: _Optional[str] = ..., rss_peak_bytes: _Optional[int] = ..., offline: _Optional[_Union[OfflineStatus, _Mapping]] = ...) -> None: ...

class OfflineStatus(_message.Message):
    __slots__ = ("newest_feed_ms", "stale_ms", "offline", "states")
    NEWEST_FEED_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_MS_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    newest_feed_ms: int
    stale_ms: int
    offline: bool
    states: _containers.RepeatedCompositeFieldContainer[OfflineState]
    def __init__(self, newest_feed_ms: _Optional[int] = ..., stale_ms: _Optional[int] = ..., offline: _Optional[bool] = ..., states: _Optional[_Iterable[_Union[OfflineState, _Mapping]]] = ...) -> None: ...

class OfflineState(_message.Message):
    __slots__ = ("organization_id", "resource_id", "mode", "new_channels", "existing", "new_until_ms", "existing_until_ms")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    NEW_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    NEW_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    EXISTING_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    resource_id: str
    mode: _role_pb2.OfflineMode
    new_channels: bool
    existing: bool
    new_until_ms: int
    existing_until_ms: int
    def __init__(self, organization_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., mode: _Optional[_Union[_role_pb2.OfflineMode, str]] = ..., new_channels: _Optional[bool] = ..., existing: _Optional[bool] = ..., new_until_ms: _Optional[int] = ..., existing_until_ms: _Optional[int] = ...) -> None: ...

class LinkStatus(_message.Message):
    __slots__ = ("peer_node_id", "peer_name", "state", "reverse", "rtt_ms", "jitter_ms", "loss_share", "up_since_ms", "last_success_at_ms", "last_failure", "last_failure_at_ms")
    PEER_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_SHARE_FIELD_NUMBER: _ClassVar[int]
    UP_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SUCCESS_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_FIELD_NUMBER: _ClassVar[int]
    LAST_FAILURE_AT_MS_FIELD_NUMBER: _ClassVar[int]
    peer_node_id: str
    peer_name: str
    state: str
    reverse: bool
    rtt_ms: float
    jitter_ms: float
    loss_share: float
    up_since_ms: int
    last_success_at_ms: int
    last_failure: str
    last_failure_at_ms: int
    def __init__(self, peer_node_id: _Optional[str] = ..., peer_name: _Optional[str] = ..., state: _Optional[str] = ..., reverse: _Optional[bool] = ..., rtt_ms: _Optional[float] = ..., jitter_ms: _Optional[float] = ..., loss_share: _Optional[float] = ..., up_since_ms: _Optional[int] = ..., last_success_at_ms: _Optional[int] = ..., last_failure: _Optional[str] = ..., last_failure_at_ms: _Optional[int] = ...) -> None: ...

class ListenerStatus(_message.Message):
    __slots__ = ("listener_id", "name", "resource_name", "bound_address", "error", "connections", "refused")
    LISTENER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_NAME_FIELD_NUMBER: _ClassVar[int]
    BOUND_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    listener_id: str
    name: str
    resource_name: str
    bound_address: str
    error: str
    connections: int
    refused: int
    def __init__(self, listener_id: _Optional[str] = ..., name: _Optional[str] = ..., resource_name: _Optional[str] = ..., bound_address: _Optional[str] = ..., error: _Optional[str] = ..., connections: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...

class Counters(_message.Message):
    __slots__ = ("bytes_spliced", "paths_opened", "paths_live", "offers_refused", "peeks_refused", "tokens_refused", "channels_opened", "channels_live", "trunks_live", "handshakes_refused", "connections_refused", "control_calls", "attaches_refused")
    class ControlCallsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BYTES_SPLICED_FIELD_NUMBER: _ClassVar[int]
    PATHS_OPENED_FIELD_NUMBER: _ClassVar[int]
    PATHS_LIVE_FIELD_NUMBER: _ClassVar[int]
    OFFERS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    PEEKS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_OPENED_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LIVE_FIELD_NUMBER: _ClassVar[int]
    TRUNKS_LIVE_FIELD_NUMBER: _ClassVar[int]
    HANDSHAKES_REFUSED_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_REFUSED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_CALLS_FIELD_NUMBER: _ClassVar[int]
    ATTACHES_REFUSED_FIELD_NUMBER: _ClassVar[int]
    bytes_spliced: int
    paths_opened: int
    paths_live: int
    offers_refused: int
    peeks_refused: int
    tokens_refused: int
    channels_opened: int
    channels_live: int
    trunks_live: int
    handshakes_refused: int
    connections_refused: int
    control_calls: _containers.ScalarMap[str, int]
    attaches_refused: int
    def __init__(self, bytes_spliced: _Optional[int] = ..., paths_opened: _Optional[int] = ..., paths_live: _Optional[int] = ..., offers_refused: _Optional[int] = ..., peeks_refused: _Optional[int] = ..., tokens_refused: _Optional[int] = ..., channels_opened: _Optional[int] = ..., channels_live: _Optional[int] = ..., trunks_live: _Optional[int] = ..., handshakes_refused: _Optional[int] = ..., connections_refused: _Optional[int] = ..., control_calls: _Optional[_Mapping[str, int]] = ..., attaches_refused: _Optional[int] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("at_ms", "kind", "facts", "seq", "boot_id")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    kind: str
    facts: _containers.ScalarMap[str, str]
    seq: int
    boot_id: str
    def __init__(self, at_ms: _Optional[int] = ..., kind: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., seq: _Optional[int] = ..., boot_id: _Optional[str] = ...) -> None: ...

class ListTrunksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTrunksResponse(_message.Message):
    __slots__ = ("trunks",)
    TRUNKS_FIELD_NUMBER: _ClassVar[int]
    trunks: _containers.RepeatedCompositeFieldContainer[TrunkStatus]
    def __init__(self, trunks: _Optional[_Iterable[_Union[TrunkStatus, _Mapping]]] = ...) -> None: ...

class TrunkStatus(_message.Message):
    __slots__ = ("trunk_id", "organization_id", "far_node_id", "initiator", "attachments", "channels", "bytes_sent", "bytes_received", "replay_bytes", "rtt_ms", "moves")
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    FAR_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    REPLAY_BYTES_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    trunk_id: str
    organization_id: str
    far_node_id: str
    initiator: bool
    attachments: _containers.RepeatedCompositeFieldContainer[AttachmentStatus]
    channels: int
    bytes_sent: int
    bytes_received: int
    replay_bytes: int
    rtt_ms: float
    moves: int
    def __init__(self, trunk_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., far_node_id: _Optional[str] = ..., initiator: _Optional[bool] = ..., attachments: _Optional[_Iterable[_Union[AttachmentStatus, _Mapping]]] = ..., channels: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., replay_bytes: _Optional[int] = ..., rtt_ms: _Optional[float] = ..., moves: _Optional[int] = ...) -> None: ...

class AttachmentStatus(_message.Message):
    __slots__ = ("lane", "active", "ready", "hops")
    LANE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    lane: str
    active: bool
    ready: bool
    hops: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lane: _Optional[str] = ..., active: _Optional[bool] = ..., ready: _Optional[bool] = ..., hops: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainChannelRequest(_message.Message):
    __slots__ = ("trunk_id", "channel_id", "correlation_id")
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    trunk_id: str
    channel_id: int
    correlation_id: str
    def __init__(self, trunk_id: _Optional[str] = ..., channel_id: _Optional[int] = ..., correlation_id: _Optional[str] = ...) -> None: ...

class ExplainChannelResponse(_message.Message):
    __slots__ = ("resource", "correlation_id", "hops", "bytes_sent", "bytes_received", "send_limit_bytes", "written_to_target", "state", "trunk_id", "channel_id", "lane", "organization_id", "far_node_id")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SEND_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_TO_TARGET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    FAR_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    resource: str
    correlation_id: str
    hops: _containers.RepeatedScalarFieldContainer[str]
    bytes_sent: int
    bytes_received: int
    send_limit_bytes: int
    written_to_target: int
    state: str
    trunk_id: str
    channel_id: int
    lane: str
    organization_id: str
    far_node_id: str
    def __init__(self, resource: _Optional[str] = ..., correlation_id: _Optional[str] = ..., hops: _Optional[_Iterable[str]] = ..., bytes_sent: _Optional[int] = ..., bytes_received: _Optional[int] = ..., send_limit_bytes: _Optional[int] = ..., written_to_target: _Optional[int] = ..., state: _Optional[str] = ..., trunk_id: _Optional[str] = ..., channel_id: _Optional[int] = ..., lane: _Optional[str] = ..., organization_id: _Optional[str] = ..., far_node_id: _Optional[str] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("paths_live",)
    PATHS_LIVE_FIELD_NUMBER: _ClassVar[int]
    paths_live: int
    def __init__(self, paths_live: _Optional[int] = ...) -> None: ...

class UndrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UndrainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkloadsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkloadsResponse(_message.Message):
    __slots__ = ("workloads",)
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedCompositeFieldContainer[WorkloadStatus]
    def __init__(self, workloads: _Optional[_Iterable[_Union[WorkloadStatus, _Mapping]]] = ...) -> None: ...

class WorkloadStatus(_message.Message):
    __slots__ = ("name", "kind", "state", "reason", "version", "fingerprint", "pid", "since_ms", "restarts", "last_end")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_END_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    state: str
    reason: str
    version: str
    fingerprint: str
    pid: int
    since_ms: int
    restarts: int
    last_end: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., version: _Optional[str] = ..., fingerprint: _Optional[str] = ..., pid: _Optional[int] = ..., since_ms: _Optional[int] = ..., restarts: _Optional[int] = ..., last_end: _Optional[str] = ...) -> None: ...

class WatchWorkloadLogRequest(_message.Message):
    __slots__ = ("name", "lines", "follow")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    lines: int
    follow: bool
    def __init__(self, name: _Optional[str] = ..., lines: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class WatchWorkloadLogResponse(_message.Message):
    __slots__ = ("lines", "missed")
    LINES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedCompositeFieldContainer[WorkloadLogLine]
    missed: int
    def __init__(self, lines: _Optional[_Iterable[_Union[WorkloadLogLine, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class WorkloadLogLine(_message.Message):
    __slots__ = ("at_ms", "stream", "text")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    stream: str
    text: str
    def __init__(self, at_ms: _Optional[int] = ..., stream: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
