"""become a node: a key, a request under a join token, an operator's approval, a certificate, and beats as that node"""

import base64
import hashlib
import pathlib
import secrets
import socket
import ssl
import time

import dial
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from weft.enrollment.v1 import enrollment_pb2, enrollment_pb2_grpc
from weft.fabric.v1 import role_pb2, snapshot_pb2
from weft.heartbeat.v1 import heartbeat_pb2, heartbeat_pb2_grpc

CAPABILITIES = [role_pb2.NODE_CAPABILITY_CAN_EGRESS_PRIVATE_NETWORK]
CALL_WITHIN_S = 10


def add_arguments(command):
    command.add_argument("--control", required=True, help="host:port of control's public port")
    command.add_argument("--token-file", required=True, help="file with a join token")
    command.add_argument("--name", default="python-example", help="the name to ask for")
    command.add_argument("--beats", type=int, default=2, help="how often to beat")
    command.add_argument("--within", type=float, default=60, help="how long to wait for the approval, seconds")


def run(args):
    token = pathlib.Path(args.token_file).read_text().strip()
    bundle = first_contact(args.control, token)
    roots = b"".join(
        pem(root.certificate_der) for root in bundle.roots if root.kind == snapshot_pb2.ROOT_KIND_CONTROL
    )
    key = ec.generate_private_key(ec.SECP256R1())
    with dial_control(args.control, join_name(bundle.cluster_slug), roots) as control:
        service = enrollment_pb2_grpc.EnrollmentServiceStub(control)
        identity = ask(service, token, args.name, key, time.monotonic() + args.within)
    health = beat(args.control, roots, identity, key, args.beats)
    return {"node_id": identity.node_id, "name": identity.name, "health": health, "beats": args.beats}


def pem(der):
    return ssl.DER_cert_to_PEM_cert(der).encode()


def join_name(slug):
    return f"join.{slug}.weft.internal"


def dial_control(address, name, roots, key=None, leaf=None):
    """Control is called by the name of one of its doors; it is verified by that name."""
    credentials = grpc.ssl_channel_credentials(roots, key, leaf)
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", name)])


def first_contact(address, token):
    """Fetches what to trust. Nothing verifies this one connection: the answer proves itself by the installation key, whose
    hash is the last part of the token. The token's secret does not travel here."""
    version, slug, _, _, pinned = token.split(".")
    if version != "weft1":
        raise ValueError("this is no join token")
    with dial_control(address, join_name(slug), shown_by(address, join_name(slug))) as control:
        answer = enrollment_pb2_grpc.EnrollmentServiceStub(control).GetTrustBundle(
            enrollment_pb2.GetTrustBundleRequest(cluster_slug=slug), timeout=CALL_WITHIN_S
        )
    if hashlib.sha256(answer.installation_public_key).digest() != base64.urlsafe_b64decode(pinned + "="):
        raise ValueError("another installation answered")
    installation = serialization.load_der_public_key(answer.installation_public_key)
    installation.verify(answer.signature, b"weft/trust-bundle/v1\0" + answer.bundle)
    bundle = snapshot_pb2.TrustBundle.FromString(answer.bundle)
    if bundle.cluster_slug != slug:
        raise ValueError("control answered for another cluster")
    return bundle


def shown_by(address, name):
    """The certificate a server shows, unverified: grpcio has no other way to call somebody it does not trust yet."""
    host, port = address.rsplit(":", 1)
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=CALL_WITHIN_S) as plain:
        with unverified.wrap_socket(plain, server_hostname=name) as secure:
            return pem(secure.getpeercert(binary_form=True))


def ask(service, token, name, key, until):
    """Asks under the token and waits for an operator: `weft request approve REQUEST --fingerprint FINGERPRINT`."""
    # A request carries a key and nothing else: names and dates are for control to choose.
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    asked = service.Enroll(
        enrollment_pb2.EnrollRequest(
            token=token,
            csr=csr.public_bytes(serialization.Encoding.DER),
            node_name=name,
            capabilities=CAPABILITIES,
            requested_roles=[role_pb2.RoleGrant(role=role_pb2.NODE_ROLE_EGRESS)],
            dial_out_only=True,
            facts={"language": "python"},
        ),
        timeout=CALL_WITHIN_S,
    )
    dial.tell(request_id=asked.request_id, fingerprint=asked.key_fingerprint)
    while time.monotonic() < until:
        answer = service.PollEnrollment(signed_poll(asked.request_id, key), timeout=CALL_WITHIN_S)
        if answer.state == enrollment_pb2.REQUEST_STATE_APPROVED:
            return answer.identity
        if answer.state != enrollment_pb2.REQUEST_STATE_PENDING:
            raise ValueError(f"the request is over: {answer.reason}")
        time.sleep(answer.poll_after_ms / 1000)
    raise ValueError("nobody decided in time")


def signed_poll(request_id, key):
    """Signed by the request's key: ECDSA in the fixed-length form (IEEE P1363), not in ASN.1."""
    now = int(time.time() * 1000)
    in_asn1 = key.sign(f"weft/poll/v1\0{request_id}\0{now}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(in_asn1)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return enrollment_pb2.PollEnrollmentRequest(request_id=request_id, issued_at_ms=now, signature=signature)


def beat(address, roots, identity, key, count):
    """Tells control, as the node, that it is there; control says when to come again, and what it makes of the node."""
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    health = ""
    with dial_control(address, identity.control_name, roots, key_pem, pem(identity.certificate_der)) as control:
        service = heartbeat_pb2_grpc.HeartbeatServiceStub(control)
        boot_id = secrets.token_hex(16)
        for seq in range(1, count + 1):
            answer = service.Beat(
                heartbeat_pb2.BeatRequest(
                    boot_id=boot_id,
                    seq=seq,
                    sent_at_ms=int(time.time() * 1000),
                    capabilities=CAPABILITIES,
                    version="example",
                ),
                timeout=CALL_WITHIN_S,
            )
            health = role_pb2.NodeHealth.Name(answer.health)
            dial.tell(beat=seq, health=health, next_beat_ms=answer.next_beat_ms)
    return health
