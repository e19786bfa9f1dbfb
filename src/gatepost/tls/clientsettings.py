"""What the library's clients ask of TLS, from the arguments that their callers give.

Whoever asks for something that would not be looked at is told so: pins that nobody compares, or a level that has
nothing to compare with, are mistakes, and mistakes here would be believed to be security.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from gatepost.errors import CertificateError, LocalProtocolError
from gatepost.tls.contexts import ClientContext, ClientTLS, Level, client_context
from gatepost.tls.credential import load_credential
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore

FilePath: TypeAlias = str | Path
CertificateFiles: TypeAlias = FilePath | tuple[FilePath, FilePath]

_PIN: Final = re.compile(r"[0-9a-f]{64}")


def client_settings(
    host: str,
    *,
    level: Level | None = None,
    ca_file: FilePath | None = None,
    server_name: str | None = None,
    names: Iterable[str] = (),
    pins: Iterable[str] = (),
    client_certificate: CertificateFiles | None = None,
    alpn: Iterable[str] = (),
    sessions: SessionCache | None = None,
    observable: bool = False,
) -> ClientTLS:
    """What one connection asks of TLS.

    :param host: whom we connect to; it is the name to verify where ``server_name`` is not given.
    :param level: ``may``, ``encrypt``, ``fingerprint`` or ``verify``; by default ``fingerprint`` with pins and
        ``verify`` without.
    :param ca_file: authorities to trust, PEM; by default the system's.
    :param server_name: the name to ask for (SNI) and to find in the certificate.
    :param names: other names that are as good; ``.example.org`` is any name below that one.
    :param pins: SHA-256 of certificates or public keys, hexadecimal, with or without colons.
    :param client_certificate: our own certificate: a PEM file with chain and key, or the pair of two files.
    :param alpn: protocols to offer (RFC 7301), best first.
    :param sessions: where sessions are kept for the next connection. It keeps contexts too: files are read once.
    :param observable: see ``client_context``.
    :raises LocalProtocolError: when an argument is wrong, or would not be looked at.
    :raises CertificateError: when a file cannot be read or used.
    """
    pins = tuple(_pin(pin) for pin in pins)
    level = level or ("fingerprint" if pins else "verify")
    if bool(pins) != (level == "fingerprint"):
        raise LocalProtocolError(
            "level fingerprint needs pins" if not pins else f"pins are not looked at on level {level}",
            hint='pins go with level="fingerprint"',
        )
    trusts = level != "fingerprint"
    if sessions is None:
        context = _context(ca_file, client_certificate, SessionCache(0), level, observable)
    else:
        key = (str(ca_file) if trusts else "", ca_file is None, level == "verify", str(client_certificate), observable)
        context = sessions.contexts.get(key) or sessions.keep(
            key, _context(ca_file, client_certificate, sessions, level, observable)
        )
    return ClientTLS(context, server_name or host, level, tuple(names), tuple(alpn), pins)


def _context(
    ca_file: FilePath | None,
    certificate: CertificateFiles | None,
    sessions: SessionCache,
    level: Level,
    observable: bool,
) -> ClientContext:
    credential = None
    if isinstance(certificate, tuple):
        credential = load_credential(Path(certificate[0]), Path(certificate[1]))
    elif certificate is not None:
        credential = load_credential(Path(certificate))
    return client_context(credential=credential, trust=_trust(ca_file, level), sessions=sessions, observable=observable)


def _trust(ca_file: FilePath | None, level: Level) -> TrustStore:
    """The authorities. Where nobody has to be trusted, a system that has none is no reason to fail."""
    if level == "fingerprint":
        return TrustStore(())
    try:
        return TrustStore.load(None if ca_file is None else Path(ca_file))
    except CertificateError:
        if level == "verify" or ca_file is not None:
            raise
        return TrustStore(())


def _pin(pin: str) -> str:
    plain = pin.replace(":", "").lower()
    if not _PIN.fullmatch(plain):
        raise LocalProtocolError(f"{pin[:100]!a} is no pin", hint="a pin is a SHA-256 in hexadecimal: 64 digits")
    return plain
