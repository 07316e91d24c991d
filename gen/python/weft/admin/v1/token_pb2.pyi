from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinToken(_message.Message):
    __slots__ = ("id", "cluster_id", "roles", "organization_ids", "expires_at_ms", "max_uses", "used_count", "created_by", "created_at_ms", "revoked_at_ms", "auto_approve", "name_prefix")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_IDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    USED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    AUTO_APPROVE_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster_id: str
    roles: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeRole]
    organization_ids: _containers.RepeatedScalarFieldContainer[str]
    expires_at_ms: int
    max_uses: int
    used_count: int
    created_by: str
    created_at_ms: int
    revoked_at_ms: int
    auto_approve: bool
    name_prefix: str
    def __init__(self, id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.NodeRole, str]]] = ..., organization_ids: _Optional[_Iterable[str]] = ..., expires_at_ms: _Optional[int] = ..., max_uses: _Optional[int] = ..., used_count: _Optional[int] = ..., created_by: _Optional[str] = ..., created_at_ms: _Optional[int] = ..., revoked_at_ms: _Optional[int] = ..., auto_approve: _Optional[bool] = ..., name_prefix: _Optional[str] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("cluster_id", "roles", "organization_ids", "life_ms", "max_uses", "auto_approve", "name_prefix")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_IDS_FIELD_NUMBER: _ClassVar[int]
    LIFE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_USES_FIELD_NUMBER: _ClassVar[int]
    AUTO_APPROVE_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    roles: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeRole]
    organization_ids: _containers.RepeatedScalarFieldContainer[str]
    life_ms: int
    max_uses: int
    auto_approve: bool
    name_prefix: str
    def __init__(self, cluster_id: _Optional[str] = ..., roles: _Optional[_Iterable[_Union[_role_pb2.NodeRole, str]]] = ..., organization_ids: _Optional[_Iterable[str]] = ..., life_ms: _Optional[int] = ..., max_uses: _Optional[int] = ..., auto_approve: _Optional[bool] = ..., name_prefix: _Optional[str] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "text")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    token: JoinToken
    text: str
    def __init__(self, token: _Optional[_Union[JoinToken, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[JoinToken]
    def __init__(self, tokens: _Optional[_Iterable[_Union[JoinToken, _Mapping]]] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("cluster_id", "token_id")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    token_id: str
    def __init__(self, cluster_id: _Optional[str] = ..., token_id: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: JoinToken
    def __init__(self, token: _Optional[_Union[JoinToken, _Mapping]] = ...) -> None: ...
