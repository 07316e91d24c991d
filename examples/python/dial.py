"""Connections: mutual TLS with ordinary verification."""

import json
import pathlib
import sys

import grpc

def dial_folder(address, folder, name):
    """Dials with the key, the certificate and the roots of a folder, as weft writes it for a client or an operator."""
    folder = pathlib.Path(folder)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(folder / "servers.pem").read_bytes(),
        private_key=(folder / f"{name}.key").read_bytes(),
        certificate_chain=(folder / f"{name}.crt").read_bytes(),
    )
    return grpc.secure_channel(address, credentials)


def dial_entry(folder, entry=None):
    """Connects a client, whose folder "weft identity add client NAME --out DIR" wrote, to an entry."""
    if entry is None:
        entries = json.loads((pathlib.Path(folder) / "client.json").read_text())["entries"]
        if not entries:
            raise ValueError("the folder names no entry: give one with --entry")
        entry = entries[0]
    return dial_folder(entry, folder, "client")


def add_client_arguments(command):
    command.add_argument("--identity", required=True, help="client folder")
    command.add_argument("--entry", help="host:port of an entry (default: the first one the folder knows)")


def tell(**facts):
    """One JSON object on a line of standard error: what others may wait for while a command runs."""
    print(json.dumps(facts), file=sys.stderr, flush=True)
