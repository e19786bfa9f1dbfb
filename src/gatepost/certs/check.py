"""Everything about certificates that a configuration names, looked at without starting: ``gatepost cert check``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from cryptography import x509

from gatepost.certs.configured import (
    AUTHORITIES,
    REVOCATIONS,
    Named,
    named_certificates,
    needs_self_signed,
    never_shown,
    other_files,
)
from gatepost.certs.describe import describe
from gatepost.certs.files import exposure
from gatepost.certs.findings import DAY, Finding, Severity, examine
from gatepost.certs.incoming import read_key
from gatepost.certs.keys import described
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, LocalProtocolError
from gatepost.tls.credential import (
    UNREADABLE,
    Credential,
    certificates_in,
    key_weakness,
    make_credential,
    public_octets,
    read_pem,
)
from gatepost.tls.names import certificate_matches, reference_name
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import Purpose

_CRL_WARNING_DAYS: Final = 2


@final
@dataclass(slots=True)
class Checked:
    """What was found about one thing that the configuration names.

    :param setting: the key that names it.
    :param facts: of the first certificate, as ``describe`` has them; None when it could not be read.
    """

    setting: str
    file: Path
    facts: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)


def check_configured(config: Config, *, at: float | None = None, trust: TrustStore | None = None) -> list[Checked]:
    """Look at everything that the configuration names: our certificates, authorities, client certificates, CRLs.

    :param at: now, in seconds since the epoch.
    :param trust: whose chains are complete; None does not judge that.
    """
    now = time.time() if at is None else at
    return [*_servers(config, now, trust), *_others(config, now, trust)]


def _servers(config: Config, at: float, trust: TrustStore | None) -> list[Checked]:
    checked: list[Checked] = []
    loaded: list[Credential] = []
    named = named_certificates(config)
    for each in named:
        if needs_self_signed(config) and not each.file.exists():
            note = Finding("note", "not-made", "is made at the first start: self-signed", "")
            checked.append(Checked(each.setting, each.file, None, [note]))
            continue
        one, credential = _pair(each, at, trust, "server")
        checked.append(one)
        if credential is not None:
            loaded.append(credential)
    by_file = {str(one.file): one for one in checked}
    for credential in never_shown(loaded):
        text = "is never shown: for each of its names an earlier certificate has the same kind of key"
        by_file[credential.source].findings.append(Finding("warning", "never-shown", text, "remove one of them"))
    if loaded:
        by_file[loaded[0].source].findings.extend(_hostname(config.hostname, loaded))
    return checked


def _hostname(hostname: str, loaded: Sequence[Credential]) -> Iterator[Finding]:
    try:
        name = reference_name(hostname)
        carriers = [each for each in loaded if certificate_matches(each.certificate, name)]
    except (LocalProtocolError, ValueError):
        return
    if not carriers:
        names = ", ".join(loaded[0].names) or "no name"
        yield Finding("error", "wrong-name", f"no certificate is for hostname {hostname}; this one is for {names}",
                      "get one that carries the name, or set `hostname` to one that it carries")  # fmt: skip
    elif loaded[0] not in carriers:
        yield Finding(
            "warning",
            "not-default",
            f"the default certificate is not for hostname {hostname}: clients that name no host see a wrong name",
            f"name {carriers[0].source} first",
        )


def _pair(named: Named, at: float, trust: TrustStore | None, purpose: Purpose) -> tuple[Checked, Credential | None]:
    """A certificate with its key; the credential when a server can be started with it at some time."""
    checked = Checked(named.setting, named.file)
    try:
        chain = certificates_in(named.file)
    except CertificateError as error:
        checked.findings.append(Finding("error", "unusable", _bare(error, named.file), error.hint))
        return checked, None
    checked.facts = describe(chain[0], at)
    checked.findings += examine(chain, at=at, trust=trust, purpose=purpose)
    where = named.key or named.file
    try:
        checked.findings += _exposed(where)
        key = read_key(where)
    except (CertificateError, OSError) as error:
        text = (
            _bare(error, where) if isinstance(error, CertificateError) else f"the key cannot be read: {error.strerror}"
        )
        checked.findings.append(Finding("error", "no-key", text, getattr(error, "hint", "")))
        return checked, None
    if (weakness := key_weakness(key)) and not any(each.word == "weak-key" for each in checked.findings):
        checked.findings.append(Finding("error", "weak-key", f"the key is too weak: {weakness}"))
    if public_octets(key.public_key()) != public_octets(chain[0].public_key()):
        text = f"the {described(key)} key in {where} does not match the first certificate"
        hint = "gatepost cert install finds the pair and puts the chain in order"
        checked.findings.append(Finding("error", "key-mismatch", text, hint))
        return checked, None
    try:
        begin = chain[0].not_valid_before_utc.timestamp() + 1
        return checked, make_credential(chain, key, source=str(named.file), at=begin)
    except CertificateError:
        return checked, None  # and a finding says why


def _bare(error: CertificateError, path: Path) -> str:
    return error.message.removeprefix(f"{path}: ")


def _exposed(path: Path) -> Iterator[Finding]:
    if words := exposure(path):
        hint = f"chmod go-w {path.parent}" if "directory" in words else f"chmod 600 {path}"
        yield Finding("error", "permissions", f"{path} holds a private key, and {words}", hint)


def _others(config: Config, at: float, trust: TrustStore | None) -> Iterator[Checked]:
    for setting, name, path in other_files(config):
        if name in AUTHORITIES:
            yield _authorities(setting, path, at)
        elif name in REVOCATIONS:
            yield check_revocations(setting, path, at)
        else:
            yield _pair(Named(setting, path, None), at, trust, "client")[0]


def _authorities(setting: str, path: Path, at: float) -> Checked:
    checked = Checked(setting, path)
    try:
        anchors = certificates_in(path)
    except CertificateError as error:
        checked.findings.append(Finding("error", "unusable", _bare(error, path), error.hint))
        return checked
    checked.facts = describe(anchors[0], at)
    now = datetime.fromtimestamp(at, UTC)
    expired = [each for each in anchors if each.not_valid_after_utc < now]
    if expired:
        text = f"{len(expired)} of {len(anchors)} authorities have expired"
        severity: Severity = "error" if len(expired) == len(anchors) else "warning"
        hint = "fetch current ones" if severity == "error" else "remove what has expired"
        checked.findings.append(Finding(severity, "authority-expired", text, hint))
    return checked


def _told(revocations: x509.CertificateRevocationList) -> tuple[datetime | None, str, int]:
    """When the next list is due, who says so, and how many are revoked."""
    return revocations.next_update_utc, ascii(revocations.issuer.rfc4514_string())[1:-1], len(revocations)


def check_revocations(setting: str, path: Path, at: float) -> Checked:
    """Look at a file of revocation lists.

    :param at: now, in seconds since the epoch.
    """
    checked = Checked(setting, path)
    marker = b"-----END X509 CRL-----"
    try:
        lists = [_told(x509.load_pem_x509_crl(part + marker)) for part in read_pem(path).split(marker)[:-1]]
    except (CertificateError, x509.InvalidVersion, *UNREADABLE) as error:
        text = _bare(error, path) if isinstance(error, CertificateError) else f"cannot be parsed: {error}"
        checked.findings.append(Finding("error", "unusable", text))
        return checked
    if not lists:
        checked.findings.append(Finding("error", "unusable", "holds no revocation list"))
    for end, issuer, revoked in lists:
        if end is None:
            text = f"the list of {issuer} ({revoked} revoked) does not say when the next one comes"
            checked.findings.append(Finding("note", "crl-endless", text))
        elif end.timestamp() < at:
            text = f"the list of {issuer} ran out on {end:%F %T} UTC: no certificate that needs it is accepted"
            checked.findings.append(Finding("error", "crl-expired", text, "fetch the current one"))
        elif end.timestamp() - at < _CRL_WARNING_DAYS * DAY:
            text = f"the list of {issuer} runs out on {end:%F %T} UTC"
            checked.findings.append(Finding("warning", "crl-expires-soon", text, "fetch the next one"))
        else:
            text = f"the list of {issuer} ({revoked} revoked) is good until {end:%F %T} UTC"
            checked.findings.append(Finding("note", "crl-good", text))
    return checked
