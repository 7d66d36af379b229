"""Certificates of the service: read from files, and again when they were renewed."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from logsvc.errors import CannotStart


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """
    TLS as a server speaks it, 1.2 and newer.

    Args:
        certificate: PEM, followed by those that signed it.
        key: PEM, not encrypted; None where it lies in the certificate's file.

    Raises:
        CannotStart: the files cannot be read, or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """
    Put the certificate of these files into a context: connections from now on have it.

    Raises:
        CannotStart: as above; what the context had before stays.
    """
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            if path is not None:
                path.read_bytes()
        except (OSError, ValueError) as exc:  # a name with NUL in it is no OSError
            raise CannotStart(
                f"The file {path} of {name} cannot be read: {getattr(exc, 'strerror', None) or exc}."
            ) from exc
    # Tried on a context of its own first: a failure between certificate and key would leave half of each.
    for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
        try:
            target.load_cert_chain(certificate, key, password=_ask_nobody)
        except ssl.SSLError as exc:
            if exc.reason == "KEY_VALUES_MISMATCH":
                raise CannotStart("tls_certificate and tls_key do not belong together.") from exc
            raise CannotStart(
                f"tls_certificate{' and tls_key are' if key else ' is'} not a certificate and its key in PEM: "
                f"{exc.reason or exc}."
            ) from exc


def _ask_nobody() -> NoReturn:
    raise CannotStart("The key of tls_key is encrypted: a service has nobody to ask for its password.")
