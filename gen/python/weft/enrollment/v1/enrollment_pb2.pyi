from weft.fabric.v1 import role_pb2 as _role_pb2
from weft.fabric.v1 import snapshot_pb2 as _snapshot_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REQUEST_STATE_UNSPECIFIED: _ClassVar[RequestState]
    REQUEST_STATE_PENDING: _ClassVar[RequestState]
    REQUEST_STATE_APPROVED: _ClassVar[RequestState]
    REQUEST_STATE_REJECTED: _ClassVar[RequestState]
    REQUEST_STATE_EXPIRED: _ClassVar[RequestState]
REQUEST_STATE_UNSPECIFIED: RequestState
REQUEST_STATE_PENDING: RequestState
REQUEST_STATE_APPROVED: RequestState
REQUEST_STATE_REJECTED: RequestState
REQUEST_STATE_EXPIRED: RequestState

class RenewClientRequest(_message.Message):
    __slots__ = ("certificate_der", "csr", "issued_at_ms", "signature", "source_address")
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    certificate_der: bytes
    csr: bytes
    issued_at_ms: int
    signature: bytes
    source_address: str
    def __init__(self, certificate_der: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., issued_at_ms: _Optional[int] = ..., signature: _Optional[bytes] = ..., source_address: _Optional[str] = ...) -> None: ...

class RenewClientResponse(_message.Message):
    __slots__ = ("certificate_der", "not_after_ms")
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    certificate_der: bytes
    not_after_ms: int
    def __init__(self, certificate_der: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class GetTrustBundleRequest(_message.Message):
    __slots__ = ("cluster_slug",)
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    cluster_slug: str
    def __init__(self, cluster_slug: _Optional[str] = ...) -> None: ...

class GetTrustBundleResponse(_message.Message):
    __slots__ = ("bundle", "installation_public_key", "signature")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    bundle: bytes
    installation_public_key: bytes
    signature: bytes
    def __init__(self, bundle: _Optional[bytes] = ..., installation_public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class EnrollRequest(_message.Message):
    __slots__ = ("token", "csr", "node_name", "capabilities", "requested_roles", "addresses", "dial_out_only", "region", "facts")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    NODE_NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_ROLES_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DIAL_OUT_ONLY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    token: str
    csr: bytes
    node_name: str
    capabilities: _containers.RepeatedScalarFieldContainer[_role_pb2.NodeCapability]
    requested_roles: _containers.RepeatedCompositeFieldContainer[_role_pb2.RoleGrant]
    addresses: _containers.RepeatedCompositeFieldContainer[_role_pb2.NodeAddress]
    dial_out_only: bool
    region: str
    facts: _containers.ScalarMap[str, str]
    def __init__(self, token: _Optional[str] = ..., csr: _Optional[bytes] = ..., node_name: _Optional[str] = ..., capabilities: _Optional[_Iterable[_Union[_role_pb2.NodeCapability, str]]] = ..., requested_roles: _Optional[_Iterable[_Union[_role_pb2.RoleGrant, _Mapping]]] = ..., addresses: _Optional[_Iterable[_Union[_role_pb2.NodeAddress, _Mapping]]] = ..., dial_out_only: _Optional[bool] = ..., region: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("request_id", "key_fingerprint", "poll_after_ms")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    POLL_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    key_fingerprint: str
    poll_after_ms: int
    def __init__(self, request_id: _Optional[str] = ..., key_fingerprint: _Optional[str] = ..., poll_after_ms: _Optional[int] = ...) -> None: ...

class PollEnrollmentRequest(_message.Message):
    __slots__ = ("request_id", "issued_at_ms", "signature")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    issued_at_ms: int
    signature: bytes
    def __init__(self, request_id: _Optional[str] = ..., issued_at_ms: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class PollEnrollmentResponse(_message.Message):
    __slots__ = ("state", "reason", "poll_after_ms", "identity")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POLL_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    state: RequestState
    reason: str
    poll_after_ms: int
    identity: IssuedIdentity
    def __init__(self, state: _Optional[_Union[RequestState, str]] = ..., reason: _Optional[str] = ..., poll_after_ms: _Optional[int] = ..., identity: _Optional[_Union[IssuedIdentity, _Mapping]] = ...) -> None: ...

class IssuedIdentity(_message.Message):
    __slots__ = ("node_id", "name", "cluster_id", "cluster_slug", "trust_domain", "certificate_der", "not_after_ms", "bundle", "control_name")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SLUG_FIELD_NUMBER: _ClassVar[int]
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    CONTROL_NAME_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    name: str
    cluster_id: str
    cluster_slug: str
    trust_domain: str
    certificate_der: bytes
    not_after_ms: int
    bundle: _snapshot_pb2.TrustBundle
    control_name: str
    def __init__(self, node_id: _Optional[str] = ..., name: _Optional[str] = ..., cluster_id: _Optional[str] = ..., cluster_slug: _Optional[str] = ..., trust_domain: _Optional[str] = ..., certificate_der: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ..., bundle: _Optional[_Union[_snapshot_pb2.TrustBundle, _Mapping]] = ..., control_name: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr",)
    CSR_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    def __init__(self, csr: _Optional[bytes] = ...) -> None: ...

class RenewResponse(_message.Message):
    __slots__ = ("identity", "pool_certificates")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    POOL_CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    identity: IssuedIdentity
    pool_certificates: _containers.RepeatedCompositeFieldContainer[PoolCertificate]
    def __init__(self, identity: _Optional[_Union[IssuedIdentity, _Mapping]] = ..., pool_certificates: _Optional[_Iterable[_Union[PoolCertificate, _Mapping]]] = ...) -> None: ...

class PoolCertificate(_message.Message):
    __slots__ = ("pool_id", "certificate_der", "not_after_ms")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    certificate_der: bytes
    not_after_ms: int
    def __init__(self, pool_id: _Optional[str] = ..., certificate_der: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class RecoverRequest(_message.Message):
    __slots__ = ("expired_certificate_der", "csr", "issued_at_ms", "signature")
    EXPIRED_CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    expired_certificate_der: bytes
    csr: bytes
    issued_at_ms: int
    signature: bytes
    def __init__(self, expired_certificate_der: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., issued_at_ms: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RecoverResponse(_message.Message):
    __slots__ = ("identity",)
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    identity: IssuedIdentity
    def __init__(self, identity: _Optional[_Union[IssuedIdentity, _Mapping]] = ...) -> None: ...
