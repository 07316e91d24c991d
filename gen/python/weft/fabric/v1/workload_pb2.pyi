from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkloadKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKLOAD_KIND_UNSPECIFIED: _ClassVar[WorkloadKind]
    WORKLOAD_KIND_NATIVE: _ClassVar[WorkloadKind]
    WORKLOAD_KIND_CONTAINER: _ClassVar[WorkloadKind]
    WORKLOAD_KIND_BUILTIN: _ClassVar[WorkloadKind]
WORKLOAD_KIND_UNSPECIFIED: WorkloadKind
WORKLOAD_KIND_NATIVE: WorkloadKind
WORKLOAD_KIND_CONTAINER: WorkloadKind
WORKLOAD_KIND_BUILTIN: WorkloadKind

class WorkloadSpec(_message.Message):
    __slots__ = ("kind", "command", "args", "image", "environment", "working_directory", "run_as", "version", "restart", "stop_grace_ms", "health", "host_privileges")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    RUN_AS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HOST_PRIVILEGES_FIELD_NUMBER: _ClassVar[int]
    kind: WorkloadKind
    command: str
    args: _containers.RepeatedScalarFieldContainer[str]
    image: str
    environment: _containers.RepeatedCompositeFieldContainer[WorkloadVariable]
    working_directory: str
    run_as: str
    version: str
    restart: WorkloadRestart
    stop_grace_ms: int
    health: WorkloadHealth
    host_privileges: bool
    def __init__(self, kind: _Optional[_Union[WorkloadKind, str]] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., image: _Optional[str] = ..., environment: _Optional[_Iterable[_Union[WorkloadVariable, _Mapping]]] = ..., working_directory: _Optional[str] = ..., run_as: _Optional[str] = ..., version: _Optional[str] = ..., restart: _Optional[_Union[WorkloadRestart, _Mapping]] = ..., stop_grace_ms: _Optional[int] = ..., health: _Optional[_Union[WorkloadHealth, _Mapping]] = ..., host_privileges: _Optional[bool] = ...) -> None: ...

class WorkloadVariable(_message.Message):
    __slots__ = ("name", "value", "file")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    file: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class WorkloadRestart(_message.Message):
    __slots__ = ("backoff_min_ms", "backoff_max_ms", "restarts_max_count", "window_ms")
    BACKOFF_MIN_MS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MAX_MS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_MAX_COUNT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    backoff_min_ms: int
    backoff_max_ms: int
    restarts_max_count: int
    window_ms: int
    def __init__(self, backoff_min_ms: _Optional[int] = ..., backoff_max_ms: _Optional[int] = ..., restarts_max_count: _Optional[int] = ..., window_ms: _Optional[int] = ...) -> None: ...

class WorkloadHealth(_message.Message):
    __slots__ = ("tcp_port", "command", "args", "period_ms", "timeout_ms", "failures_max_count", "start_within_ms")
    TCP_PORT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_MAX_COUNT_FIELD_NUMBER: _ClassVar[int]
    START_WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    tcp_port: int
    command: str
    args: _containers.RepeatedScalarFieldContainer[str]
    period_ms: int
    timeout_ms: int
    failures_max_count: int
    start_within_ms: int
    def __init__(self, tcp_port: _Optional[int] = ..., command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., period_ms: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., failures_max_count: _Optional[int] = ..., start_within_ms: _Optional[int] = ...) -> None: ...

class Workload(_message.Message):
    __slots__ = ("workload_id", "name", "spec", "running", "privileges_approved", "fingerprint")
    WORKLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGES_APPROVED_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    workload_id: str
    name: str
    spec: WorkloadSpec
    running: bool
    privileges_approved: bool
    fingerprint: str
    def __init__(self, workload_id: _Optional[str] = ..., name: _Optional[str] = ..., spec: _Optional[_Union[WorkloadSpec, _Mapping]] = ..., running: _Optional[bool] = ..., privileges_approved: _Optional[bool] = ..., fingerprint: _Optional[str] = ...) -> None: ...
