"""From what an authority sent, and the key, to what a server can show. Nothing is written before all of it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, final

from cryptography import x509

from gatepost.certs.chain import is_authority, is_self_signed, name_of, order_chain
from gatepost.certs.findings import Finding, examine
from gatepost.certs.incoming import Incoming
from gatepost.certs.keys import described
from gatepost.errors import CertificateError
from gatepost.tls.credential import UNREADABLE, PrivateKey, public_octets
from gatepost.tls.trust import TrustStore

SourcedKey = tuple[PrivateKey, str]

_SELF_SIGNED_HINT: Final = "to install it all the same, name it with --ca-file"


@final
@dataclass(frozen=True, slots=True)
class Installation:
    """What is to be written.

    :param chain: leaf first, without the root.
    :param key_source: the file that the key came from.
    :param remarks: what was done with the rest, and what will have to be done soon.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    key_source: str
    remarks: tuple[str, ...]


def assemble(
    incoming: Incoming, keys: Sequence[SourcedKey], *, names: Sequence[str], trust: TrustStore, at: float
) -> Installation:
    """Find the certificate that belongs to a key, put its chain in order, and check everything.

    :param keys: candidates besides those that came with the certificates, best first.
    :param names: what the certificate must be for.
    :param trust: the authorities that make a chain complete.
    :param at: now, in seconds since the epoch.
    :raises CertificateError: for the first thing that is wrong.
    """
    key, source, leaf = _pair(incoming, keys)
    ordered = order_chain(leaf, incoming.certificates, at=datetime.fromtimestamp(at, UTC))
    findings = examine(ordered.chain, at=at, names=names, trust=trust)
    for finding in findings:
        if finding.word == "self-signed":
            raise CertificateError(finding.text, hint=_SELF_SIGNED_HINT)
        if finding.severity == "error":
            raise _refusal(finding, ordered.root)
    remarks = [f"{finding.text}: {finding.hint}" for finding in findings if finding.severity == "warning"]
    if ordered.root is not None:
        remarks.append(f"the root {name_of(ordered.root)} was left out: peers have it or do not trust it")
    remarks += [f"not needed, and left out: {name_of(each)}" for each in ordered.unused]
    return Installation(ordered.chain, key, source, tuple(remarks))


def _refusal(finding: Finding, root: x509.Certificate | None) -> CertificateError:
    if finding.word == "incomplete" and root is not None:
        return CertificateError(
            f"the chain ends in {name_of(root)}, which is not among the trusted authorities",
            hint="for an authority of your own name its certificate with --ca-file",
        )
    return CertificateError(finding.text, hint=finding.hint)


def _pair(incoming: Incoming, keys: Sequence[SourcedKey]) -> tuple[PrivateKey, str, x509.Certificate]:
    if not incoming.certificates:
        raise CertificateError(
            "there is a key and no certificate", hint="name the file with the certificate that the authority sent"
        )
    candidates = [*incoming.keys, *keys]
    if not candidates:
        raise CertificateError(
            "there is no private key to go with the certificate",
            hint="name it with --key; `gatepost cert request` wrote it to privkey.pem",
        )
    for key, source in candidates:
        wanted = public_octets(key.public_key())
        if found := [each for each in incoming.certificates if public_octets(each.public_key()) == wanted]:
            # Of an old and a new certificate for one key the new one.
            return key, source, max(found, key=lambda each: (not is_self_signed(each), each.not_valid_after_utc))
    raise _mismatch(incoming, candidates)


def _mismatch(incoming: Incoming, candidates: Sequence[SourcedKey]) -> CertificateError:
    own = [each for each in incoming.certificates if not _issues(each)]
    if not own:
        names = "; ".join(name_of(each) for each in incoming.certificates)
        return CertificateError(
            f"only authorities' certificates were given ({names}), the server's own is missing",
            hint="add the file with the server's own certificate",
        )
    tried = ", ".join(dict.fromkeys(source for _, source in candidates))
    return CertificateError(
        f"no key matches: the certificate {name_of(own[0])} was made for another {described(own[0].public_key())} key "
        f"than that of {tried}",
        hint="name the key that its request was made with: --key FILE",
    )


def _issues(certificate: x509.Certificate) -> bool:
    try:
        return is_authority(certificate)
    except UNREADABLE:
        return False
