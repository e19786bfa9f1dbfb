"""Postfix's certificates and keys: chain files, pairs of files, authorities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gatepost.config.importers.document import Document, Sourced
from gatepost.config.importers.maincf import Parameter, Parameters
from gatepost.config.importers.material import distrusted, read_pem_file, unusable


class Pair(NamedTuple):
    """A certificate's file, the key's file when that is another one, and their places."""

    certificate: Path
    key: Path | None
    place: str


def server_certificates(document: Document, parameters: Parameters, base: Path) -> None:
    """The first certificate goes into ``[tls]``, each further one into a ``[[certificate]]``."""
    first = True
    for pair in _pairs(document, parameters, "smtpd", base):
        table, name = ("tls", "certificate") if first else ("certificate", "file")
        if reason := unusable(pair.certificate, pair.key):
            lines = [f'{name} = "{pair.certificate}"', *([f'key = "{pair.key}"'] if pair.key else [])]
            reason = f"{pair.certificate}: {reason}; `gatepost cert new` makes a new one"
            document.withhold(table, lines, pair.place, reason)
            continue
        entry = {name: Sourced(str(pair.certificate), pair.place)}
        if pair.key:
            entry["key"] = Sourced(str(pair.key), pair.place)
        if first:
            for key, value in entry.items():
                document.set("tls", key, value)
        else:
            document.add("certificate", entry)
        first = False


def client_certificate(document: Document, parameters: Parameters, base: Path) -> dict[str, Sourced]:
    """The certificate that is shown to servers: one file with the key."""
    for pair in _pairs(document, parameters, "smtp", base):
        reason = unusable(pair.certificate, pair.key)
        if pair.key and not reason:
            reason = f"certificate, chain and key have to be in one file; put {pair.key} behind it"
        if not reason:
            return {"client_certificate": Sourced(str(pair.certificate), pair.place)}
        document.withhold("outbound", [f'client_certificate = "{pair.certificate}"'], pair.place,
                          f"{pair.certificate}: {reason}")  # fmt: skip
    return {}


def authorities(document: Document, parameters: Parameters, base: Path) -> None:
    """Whom we trust: ``smtp_tls_CAfile`` for servers, ``smtpd_tls_CAfile`` for clients. Directories are named."""
    for name, table, key in (("smtp", "delivery", "ca_file"), ("smtpd", "tls", "client_ca")):
        bundle = parameters.take(f"{name}_tls_CAfile")
        if bundle and bundle.value:
            file = (base / bundle.value).absolute()
            if problem := distrusted(file):
                document.withhold(table, [f'{key} = "{file}"'], bundle.place, f"{name}_tls_CAfile: {problem}")
            else:
                document.set(table, key, Sourced(str(file), bundle.place))
        if (directory := parameters.take(f"{name}_tls_CApath")) and directory.value:
            document.notice(
                directory.place, f"{name}_tls_CApath is not taken over: authorities are in one file, not in a directory"
            )
    if append := parameters.take("tls_append_default_CA"):
        document.notice(append.place, "tls_append_default_CA is not taken over: delivery.ca_file replaces the system's")


def _pairs(document: Document, parameters: Parameters, side: str, base: Path) -> Iterator[Pair]:
    chains = parameters.take(f"{side}_tls_chain_files")
    old = list(_old_pairs(document, parameters, side, base))
    if chains and chains.value:
        for pair in old:
            document.outcome("tls", pair.place, f"counts for nothing beside {side}_tls_chain_files.")
        yield from _chained(document, chains, base)
    else:
        yield from old


def _old_pairs(document: Document, parameters: Parameters, side: str, base: Path) -> Iterator[Pair]:
    """``…_cert_file`` and ``…_key_file``, for RSA and ECDSA; DSA is gone from TLS."""
    for kind in ("", "ec"):
        certificate = parameters.take(f"{side}_tls_{kind}cert_file")
        key = parameters.take(f"{side}_tls_{kind}key_file")
        if certificate and certificate.value and certificate.value != "none":
            own = (base / certificate.value).absolute()
            other = (base / key.value).absolute() if key and key.value else own
            place = f"{certificate.place}, {key.place}" if key and other != own else certificate.place
            yield Pair(own, other if other != own else None, place)
        elif key and key.value:
            document.notice(key.place, "is a key without a certificate, and is not taken over")
    for name in (f"{side}_tls_dcert_file", f"{side}_tls_dkey_file"):
        if gone := parameters.take(name):
            document.notice(gone.place, f"{name} is obsolete, and not used: TLS has no DSA any more")


def _chained(document: Document, chains: Parameter, base: Path) -> Iterator[Pair]:
    """Chain files: each key, in whatever file, begins a new certificate, which may stand in the next file."""
    waiting: Path | None = None
    for word in chains.words:
        file = (base / word).absolute()
        found = read_pem_file(file)
        if found.problem:
            document.notice(chains.place, f"{found.problem}; it is not taken over")
        elif found.keys and found.certificates:
            yield Pair(file, None, chains.place)
            waiting = None
        elif found.keys:
            waiting = file
        elif waiting:
            yield Pair(file, waiting, chains.place)
            waiting = None
        else:
            document.notice(chains.place, f"{file} goes on with a chain: put it behind the certificate, into one file")
    if waiting:
        document.notice(chains.place, f"{waiting} is a key without a certificate, and is not taken over")
