from weft.fabric.v1 import feed_pb2 as _feed_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IdentityKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTITY_KIND_UNSPECIFIED: _ClassVar[IdentityKind]
    IDENTITY_KIND_CLIENT: _ClassVar[IdentityKind]
    IDENTITY_KIND_OPERATOR: _ClassVar[IdentityKind]
IDENTITY_KIND_UNSPECIFIED: IdentityKind
IDENTITY_KIND_CLIENT: IdentityKind
IDENTITY_KIND_OPERATOR: IdentityKind

class Identity(_message.Message):
    __slots__ = ("id", "kind", "cluster_id", "organization_id", "name", "status", "certificate_serial", "certificate_not_after_ms", "created_at_ms", "revoked_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SERIAL_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: IdentityKind
    cluster_id: str
    organization_id: str
    name: str
    status: str
    certificate_serial: str
    certificate_not_after_ms: int
    created_at_ms: int
    revoked_at_ms: int
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[IdentityKind, str]] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., status: _Optional[str] = ..., certificate_serial: _Optional[str] = ..., certificate_not_after_ms: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., revoked_at_ms: _Optional[int] = ...) -> None: ...

class AddIdentityRequest(_message.Message):
    __slots__ = ("kind", "cluster_id", "organization_id", "name", "csr")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    kind: IdentityKind
    cluster_id: str
    organization_id: str
    name: str
    csr: bytes
    def __init__(self, kind: _Optional[_Union[IdentityKind, str]] = ..., cluster_id: _Optional[str] = ..., organization_id: _Optional[str] = ..., name: _Optional[str] = ..., csr: _Optional[bytes] = ...) -> None: ...

class AddIdentityResponse(_message.Message):
    __slots__ = ("identity", "certificate_der", "roots", "trust_domain", "cluster_slug")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    certificate_der: bytes
    roots: _containers.RepeatedCompositeFieldContainer[_snapshot_pb2.TrustRoot]
    trust_domain: str
    cluster_slug: str
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., certificate_der: _Optional[bytes] = ..., roots: _Optional[_Iterable[_Union[_snapshot_pb2.TrustRoot, _Mapping]]] = ..., trust_domain: _Optional[str] = ..., cluster_slug: _Optional[str] = ...) -> None: ...

class ListIdentitiesRequest(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class ListIdentitiesResponse(_message.Message):
    __slots__ = ("identities",)
    IDENTITIES_FIELD_NUMBER: _ClassVar[int]
    identities: _containers.RepeatedCompositeFieldContainer[Identity]
    def __init__(self, identities: _Optional[_Iterable[_Union[Identity, _Mapping]]] = ...) -> None: ...

class RevokeIdentityRequest(_message.Message):
    __slots__ = ("identity_id", "cluster_id", "reason")
    IDENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    identity_id: str
    cluster_id: str
    reason: str
    def __init__(self, identity_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeIdentityResponse(_message.Message):
    __slots__ = ("identity", "feeds")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    feeds: _containers.RepeatedCompositeFieldContainer[_feed_pb2.FeedPosition]
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[_feed_pb2.FeedPosition, _Mapping]]] = ...) -> None: ...

class RenewOperatorRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewOperatorResponse(_message.Message):
    __slots__ = ("certificate_der", "not_after_ms")
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    certificate_der: bytes
    not_after_ms: int
    def __init__(self, certificate_der: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ...) -> None: ...
