from weft.fabric.v1 import role_pb2 as _role_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RenewIdentityRequest(_message.Message):
    __slots__ = ("certificate_der", "csr", "issued_at_ms", "signature")
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    certificate_der: bytes
    csr: bytes
    issued_at_ms: int
    signature: bytes
    def __init__(self, certificate_der: _Optional[bytes] = ..., csr: _Optional[bytes] = ..., issued_at_ms: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RenewIdentityResponse(_message.Message):
    __slots__ = ("certificate_der", "not_after_ms")
    CERTIFICATE_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    certificate_der: bytes
    not_after_ms: int
    def __init__(self, certificate_der: _Optional[bytes] = ..., not_after_ms: _Optional[int] = ...) -> None: ...

class GetClientTrustRequest(_message.Message):
    __slots__ = ("held_version", "wait")
    HELD_VERSION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    held_version: int
    wait: bool
    def __init__(self, held_version: _Optional[int] = ..., wait: _Optional[bool] = ...) -> None: ...

class GetClientTrustResponse(_message.Message):
    __slots__ = ("bundle", "installation_public_key", "signature")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    bundle: bytes
    installation_public_key: bytes
    signature: bytes
    def __init__(self, bundle: _Optional[bytes] = ..., installation_public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("open", "data", "half_close")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    open: ConnectOpen
    data: bytes
    half_close: ConnectHalfClose
    def __init__(self, open: _Optional[_Union[ConnectOpen, _Mapping]] = ..., data: _Optional[bytes] = ..., half_close: _Optional[_Union[ConnectHalfClose, _Mapping]] = ...) -> None: ...

class ConnectOpen(_message.Message):
    __slots__ = ("resource", "contract")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    resource: str
    contract: bytes
    def __init__(self, resource: _Optional[str] = ..., contract: _Optional[bytes] = ..., **kwargs) -> None: ...

class ConnectHalfClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("opened", "data", "half_closed")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSED_FIELD_NUMBER: _ClassVar[int]
    opened: ConnectOpened
    data: bytes
    half_closed: ConnectHalfClosed
    def __init__(self, opened: _Optional[_Union[ConnectOpened, _Mapping]] = ..., data: _Optional[bytes] = ..., half_closed: _Optional[_Union[ConnectHalfClosed, _Mapping]] = ...) -> None: ...

class ConnectOpened(_message.Message):
    __slots__ = ("correlation_id",)
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    def __init__(self, correlation_id: _Optional[str] = ...) -> None: ...

class ConnectHalfClosed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClientAsk(_message.Message):
    __slots__ = ("cluster_id", "client_id", "resource", "trunk_id", "nonce", "issued_at_ms", "expires_at_ms")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    TRUNK_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    client_id: str
    resource: str
    trunk_id: bytes
    nonce: bytes
    issued_at_ms: int
    expires_at_ms: int
    def __init__(self, cluster_id: _Optional[str] = ..., client_id: _Optional[str] = ..., resource: _Optional[str] = ..., trunk_id: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., issued_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...

class OpenClientPathRequest(_message.Message):
    __slots__ = ("ask", "ask_signature", "resume_handle", "standby", "contract")
    ASK_FIELD_NUMBER: _ClassVar[int]
    ASK_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    RESUME_HANDLE_FIELD_NUMBER: _ClassVar[int]
    STANDBY_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    ask: bytes
    ask_signature: bytes
    resume_handle: bytes
    standby: bool
    contract: bytes
    def __init__(self, ask: _Optional[bytes] = ..., ask_signature: _Optional[bytes] = ..., resume_handle: _Optional[bytes] = ..., standby: _Optional[bool] = ..., contract: _Optional[bytes] = ...) -> None: ...

class OpenClientPathResponse(_message.Message):
    __slots__ = ("ready", "draining", "revoked", "closing")
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    ready: ClientPathReady
    draining: ClientPathEvent
    revoked: ClientPathEvent
    closing: ClientPathEvent
    def __init__(self, ready: _Optional[_Union[ClientPathReady, _Mapping]] = ..., draining: _Optional[_Union[ClientPathEvent, _Mapping]] = ..., revoked: _Optional[_Union[ClientPathEvent, _Mapping]] = ..., closing: _Optional[_Union[ClientPathEvent, _Mapping]] = ...) -> None: ...

class ClientPathReady(_message.Message):
    __slots__ = ("leg_token", "resume_handle", "pool_id", "default_class")
    LEG_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESUME_HANDLE_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    leg_token: bytes
    resume_handle: bytes
    pool_id: str
    default_class: _role_pb2.ChannelClass
    def __init__(self, leg_token: _Optional[bytes] = ..., resume_handle: _Optional[bytes] = ..., pool_id: _Optional[str] = ..., default_class: _Optional[_Union[_role_pb2.ChannelClass, str]] = ...) -> None: ...

class ClientPathEvent(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
