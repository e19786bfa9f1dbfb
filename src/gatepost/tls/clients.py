"""The verdict on a client's certificate, given after the handshake.

A server that asks never fails a handshake over a certificate: one that is unknown, expired or self-made only proves
nothing, and the evidence says why. Two things prove who a client is; the handshake proved that it has the key:

* a chain to an authority of ``client_ca``, for the purpose of a client, not revoked (``trusted``);
* a fingerprint that is on a list of ours (``pinned``). Then it does not matter who issued the certificate and for
  what, as with Postfix's ``relay_clientcerts``; its dates, its key, and what its authority's list says of it still do.

Where revocation lists are given, one that has expired fails closed: what it covers proves nothing.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gatepost.errors import VerificationError
from gatepost.tls.credential import read_certificate
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import claimed_names, match_fingerprint, verify_peer
from gatepost.wire.upgrade import Verification

_ISSUER_UNKNOWN: Final = frozenset({"self-signed", "untrusted", "wrong-purpose", "no-authority"})
"""What a fingerprint makes good: nobody vouches for the certificate, or he vouches for something else."""

_NOBODY: Final = Verification("none")


@final
class ClientTrust:
    """What a client's certificate is held against. Nothing here changes; when a file does, another is made.

    :param authorities: ``client_ca`` with its revocation lists, or None: then only fingerprints prove anything.
    :param fingerprints: SHA-256 of certificates or public keys, in lower-case hexadecimal.
    """

    __slots__ = ("_authorities", "_fingerprints")

    def __init__(self, authorities: TrustStore | None = None, fingerprints: frozenset[str] = frozenset()) -> None:
        self._authorities: Final = authorities
        self._fingerprints: Final = fingerprints

    @classmethod
    def load(cls, ca: Path | None, crl: Path | None = None, fingerprints: frozenset[str] = frozenset()) -> ClientTrust:
        """Read the authorities and their revocation lists.

        :raises CertificateError: when a file is missing, unreadable, or holds none of what it should.
        """
        return cls(None if ca is None else TrustStore.load(ca, crl_file=crl), fingerprints)

    def judge(self, chain: tuple[bytes, ...], at: float | None = None) -> Verification:
        """The verdict on what a client showed; it is a value, for it never ends a connection.

        :param chain: DER, leaf first; empty when it showed none.
        :param at: the time of the judgement, in seconds since the epoch; now by default.
        """
        if not chain:
            return _NOBODY
        at = time.time() if at is None else at
        try:
            return self._trusted(chain, at)
        except VerificationError as error:
            refusal = error
        if refusal.reason in _ISSUER_UNKNOWN and self._fingerprints:
            try:
                return self._pinned(chain, at)
            except VerificationError as error:
                if error.reason != "wrong-fingerprint":
                    refusal = error
        return Verification("untrusted", f"{refusal.reason}: {refusal.message}", claimed_names(chain))

    def _trusted(self, chain: tuple[bytes, ...], at: float) -> Verification:
        if self._authorities is None:
            raise VerificationError(
                "no authority is named whose client certificates are believed",
                reason="no-authority",
                result_type="certificate-not-trusted",
                hint="set tls.client_ca",
            )
        return verify_peer(chain, trust=self._authorities, names=(), purpose="client", at=at)

    def _pinned(self, chain: tuple[bytes, ...], at: float) -> Verification:
        """One of the fingerprints, and in order for what it says itself.

        Its issuer's revocation list is asked for it alone: who leaves out an intermediate must not escape the list.
        """
        pinned = match_fingerprint(chain, self._fingerprints)
        leaf = read_certificate(chain[0])
        verify_peer(chain[:1], trust=TrustStore([leaf]), names=(), purpose=None, at=at)
        for crl in () if self._authorities is None else self._authorities.crls:
            _check_listed(leaf, crl, at)
        return pinned


def _check_listed(leaf: x509.Certificate, crl: x509.CertificateRevocationList, at: float) -> None:
    try:
        if crl.issuer != leaf.issuer:
            return
        revoked = crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
        until = crl.next_update_utc
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationError(
            f"a revocation list cannot be read: {error}", reason="revocation-unknown", result_type="validation-failure"
        ) from error
    if revoked:
        raise VerificationError("the certificate is revoked", reason="revoked", result_type="certificate-not-trusted")
    if until is not None and until < datetime.fromtimestamp(at, UTC):
        raise VerificationError(
            "the revocation list of its issuer has expired",
            reason="revocation-unknown",
            result_type="validation-failure",
        )
