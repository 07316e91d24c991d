from weft.control.v1 import control_pb2 as _control_pb2
from weft.fabric.v1 import workload_pb2 as _workload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Workload(_message.Message):
    __slots__ = ("id", "cluster_id", "node_id", "node_name", "name", "spec", "running", "fingerprint", "privileges_approved_by", "changed_at_ms", "changed_by", "reported")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGES_APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BY_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    node_id: str
    node_name: str
    name: str
    spec: _workload_pb2.WorkloadSpec
    running: bool
    fingerprint: str
    privileges_approved_by: str
    changed_at_ms: int
    changed_by: str
    reported: WorkloadReported
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., node_name: _Optional[str] = ..., name: _Optional[str] = ..., spec: _Optional[_Union[_workload_pb2.WorkloadSpec, _Mapping]] = ..., running: _Optional[bool] = ..., fingerprint: _Optional[str] = ..., privileges_approved_by: _Optional[str] = ..., changed_at_ms: _Optional[int] = ..., changed_by: _Optional[str] = ..., reported: _Optional[_Union[WorkloadReported, _Mapping]] = ...) -> None: ...

class WorkloadReported(_message.Message):
    __slots__ = ("state", "reason", "version", "restarts", "fingerprint", "reported_at_ms")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    state: _control_pb2.WorkloadState
    reason: str
    version: str
    restarts: int
    fingerprint: str
    reported_at_ms: int
    def __init__(self, state: _Optional[_Union[_control_pb2.WorkloadState, str]] = ..., reason: _Optional[str] = ..., version: _Optional[str] = ..., restarts: _Optional[int] = ..., fingerprint: _Optional[str] = ..., reported_at_ms: _Optional[int] = ...) -> None: ...

class SetWorkloadRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "name", "spec", "stopped", "expected_fingerprint")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    name: str
    spec: _workload_pb2.WorkloadSpec
    stopped: bool
    expected_fingerprint: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., spec: _Optional[_Union[_workload_pb2.WorkloadSpec, _Mapping]] = ..., stopped: _Optional[bool] = ..., expected_fingerprint: _Optional[str] = ...) -> None: ...

class SetWorkloadResponse(_message.Message):
    __slots__ = ("workload",)
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    workload: Workload
    def __init__(self, workload: _Optional[_Union[Workload, _Mapping]] = ...) -> None: ...

class ListWorkloadsRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ListWorkloadsResponse(_message.Message):
    __slots__ = ("workloads",)
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedCompositeFieldContainer[Workload]
    def __init__(self, workloads: _Optional[_Iterable[_Union[Workload, _Mapping]]] = ...) -> None: ...

class ApproveWorkloadRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "name", "fingerprint")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    name: str
    fingerprint: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class ApproveWorkloadResponse(_message.Message):
    __slots__ = ("workload",)
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    workload: Workload
    def __init__(self, workload: _Optional[_Union[Workload, _Mapping]] = ...) -> None: ...

class RemoveWorkloadRequest(_message.Message):
    __slots__ = ("cluster_id", "node_id", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node_id: str
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., node_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RemoveWorkloadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
