"""Whom we trust: certificate authorities and revocation lists, loaded once.

The OpenSSL that the ``cryptography`` wheel carries does not know where the system keeps its authorities, so the bundle
is found here and named explicitly.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final

from cryptography import x509
from OpenSSL import crypto

from gatepost.errors import CertificateError
from gatepost.tls.credential import read_pem

SYSTEM_BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Ubuntu, Arch, Gentoo, Alpine
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # Alpine, the BSDs
)

_CLOCK_TOLERANCE: Final = 5.0  # seconds in which a time to verify for is the present


def system_bundle(candidates: Iterable[Path] = SYSTEM_BUNDLES) -> Path:
    """Find the file of certificate authorities that this system keeps.

    :raises CertificateError: when there is none.
    """
    for path in candidates:
        if path.is_file():
            return path
    raise CertificateError(
        "this system has no bundle of certificate authorities", hint="install ca-certificates, or name one with ca_file"
    )


@final
class TrustStore:
    """A set of trust anchors, and the revocation lists that must cover whatever they vouch for.

    An intermediate among the anchors is an anchor, too (X509_V_FLAG_PARTIAL_CHAIN). When there is one revocation list,
    every certificate of a chain must be covered by one: CRL_CHECK and CRL_CHECK_ALL are always set together, since the
    second without the first lets a revoked leaf pass.

    :param anchors: certificates to trust.
    :param crls: revocation lists (RFC 5280 §5).
    :param bundle: a PEM file of further anchors.
    :param source: what to call it in messages.
    :raises CertificateError: when the bundle is missing, unreadable or holds no certificate.
    """

    __slots__ = ("_anchors", "_bundle", "_crls", "_store", "source")

    def __init__(
        self,
        anchors: Iterable[x509.Certificate] = (),
        *,
        crls: Iterable[x509.CertificateRevocationList] = (),
        bundle: Path | None = None,
        source: str = "",
    ) -> None:
        self._anchors = tuple(anchors)
        self._crls = tuple(crls)
        self._bundle = bundle
        self.source: Final = source or str(bundle or "anchors in memory")
        self._store = self._build()

    def _build(self) -> crypto.X509Store:
        store = crypto.X509Store()
        if self._bundle is not None:
            _load_bundle(store, self._bundle)
        for anchor in self._anchors:
            store.add_cert(crypto.X509.from_cryptography(anchor))
        flags = crypto.X509StoreFlags.PARTIAL_CHAIN
        if self._crls:
            for crl in self._crls:
                store.add_crl(crl)
            flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
        store.set_flags(flags)
        return store

    @property
    def crls(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The revocation lists."""
        return self._crls

    @classmethod
    def load(cls, ca_file: Path | None = None, *, crl_file: Path | None = None) -> TrustStore:
        """Load a CA file, or the system's bundle when none is given, and a file of revocation lists.

        :raises CertificateError: when a file is missing, unreadable, or holds none of what it should.
        """
        crls: list[x509.CertificateRevocationList] = []
        if crl_file is not None:
            marker = b"-----END X509 CRL-----"
            blocks = [part + marker for part in read_pem(crl_file).split(marker)[:-1]]
            try:
                crls = [x509.load_pem_x509_crl(block) for block in blocks]
            except (ValueError, x509.InvalidVersion) as error:
                raise CertificateError(f"{crl_file}: a revocation list cannot be parsed: {error}") from error
            if not crls:
                raise CertificateError(f"{crl_file}: holds no revocation list")
        bundle = system_bundle() if ca_file is None else ca_file
        try:
            return cls(bundle=bundle, crls=crls)
        except crypto.Error as error:  # ``cryptography`` has read it, OpenSSL cannot
            raise CertificateError(f"{crl_file}: a revocation list cannot be parsed") from error

    def revoking(self, crls: Iterable[x509.CertificateRevocationList]) -> TrustStore:
        """The same anchors with further revocation lists."""
        return TrustStore(self._anchors, crls=(*self._crls, *crls), bundle=self._bundle, source=self.source)

    def verify(self, chain: list[crypto.X509], at: float) -> list[x509.Certificate]:
        """Build and check the path from ``chain[0]`` to an anchor (RFC 5280 §6), as of ``at``.

        :param chain: what the peer sent, leaf first.
        :param at: seconds since the epoch.
        :return: the path, leaf first, anchor last.
        :raises OpenSSL.crypto.X509StoreContextError: with OpenSSL's error number in ``errors[0]``.
        """
        store = self._store
        if abs(at - time.time()) > _CLOCK_TOLERANCE:
            # A store takes the first time it is given and keeps it (X509_VERIFY_PARAM_set1(3) does not overwrite), so
            # the one that is used again is never given any: it goes by the system's clock.
            store = self._build()
            store.set_time(datetime.fromtimestamp(at, UTC))
        path = crypto.X509StoreContext(store, chain[0], chain[1:]).get_verified_chain()
        return [certificate.to_cryptography() for certificate in path]


def _load_bundle(store: crypto.X509Store, bundle: Path) -> None:
    try:
        with bundle.open("rb"):
            pass
        store.load_locations(str(bundle))
    except FileNotFoundError as error:
        raise CertificateError(f"{bundle}: no such file") from error
    except OSError as error:
        raise CertificateError(f"{bundle}: cannot be read: {error.strerror}") from error
    except crypto.Error as error:
        raise CertificateError(f"{bundle}: holds no certificate that can be read") from error
