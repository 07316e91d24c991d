from weft.enrollment.v1 import enrollment_pb2 as _enrollment_pb2
from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("id", "cluster_id", "token_id", "node_name", "key_hash", "key_fingerprint", "capabilities", "requested_roles", "addresses", "dial_out_only", "region", "facts", "state", "reason", "reviewer", "created_at_ms", "reviewed_at_ms", "node_id")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    KEY_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_ROLES_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DIAL_OUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    token_id: str
    node_name: str
    key_hash: bytes
    key_fingerprint: str
    capabilities: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeCapability]
    requested_roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    dial_out_only: bool
    region: str
    facts: _containers.ScalarMap[str, str]
    state: _enrollment_pb2.RequestState
    reason: str
    reviewer: str
    created_at_ms: int
    reviewed_at_ms: int
    node_id: str
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., token_id: _Optional[str] = ..., node_name: _Optional[str] = ..., key_hash: _Optional[bytes] = ..., key_fingerprint: _Optional[str] = ..., capabilities: _Optional[_Iterable[_Union[_role_pb2.NodeCapability, str]]] = ..., requested_roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., dial_out_only: _Optional[bool] = ..., region: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., state: _Optional[_Union[_enrollment_pb2.RequestState, str]] = ..., reason: _Optional[str] = ..., reviewer: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., reviewed_at_ms: _Optional[int] = ..., node_id: _Optional[str] = ...) -> None: ...

class ListRequestsRequest(_message.Message):
    __slots__ = ("cluster_id", "state")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    state: _enrollment_pb2.RequestState
    def __init__(self, cluster_id: _Optional[str] = ..., state: _Optional[_Union[_enrollment_pb2.RequestState, str]] = ...) -> None: ...

class ListRequestsResponse(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[JoinRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[JoinRequest, _Mapping]]] = ...) -> None: ...

class GetRequestRequest(_message.Message):
    __slots__ = ("cluster_id", "request_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    request_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetRequestResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: JoinRequest
    def __init__(self, request: _Optional[_Union[JoinRequest, _Mapping]] = ...) -> None: ...

class ApproveRequestRequest(_message.Message):
    __slots__ = ("cluster_id", "request_id", "key_hash", "addresses", "roles", "name")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_HASH_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    request_id: str
    key_hash: bytes
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    name: str
    def __init__(self, cluster_id: _Optional[str] = ..., request_id: _Optional[str] = ..., key_hash: _Optional[bytes] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...

class ApproveRequestResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: JoinRequest
    def __init__(self, request: _Optional[_Union[JoinRequest, _Mapping]] = ...) -> None: ...

class RejectRequestRequest(_message.Message):
    __slots__ = ("cluster_id", "request_id", "reason")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    request_id: str
    reason: str
    def __init__(self, cluster_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RejectRequestResponse(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: JoinRequest
    def __init__(self, request: _Optional[_Union[JoinRequest, _Mapping]] = ...) -> None: ...
