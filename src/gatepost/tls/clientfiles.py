"""What our clients read from files: authorities to trust, certificates of ours to show. Each file is read once.

It is read before the processes fork, with the supervisor's rights, so that a key may be readable by root only; the
contexts are made of it later, as they are needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from gatepost.tls.contexts import ClientContext, TLSProfile, client_context
from gatepost.tls.credential import Credential, load_credential
from gatepost.tls.trust import TrustStore


@final
class ClientFiles:
    """The files, each with what was read from it."""

    __slots__ = ("_credentials", "_trust")

    def __init__(self) -> None:
        self._trust: dict[tuple[Path | None, Path | None], TrustStore] = {}
        self._credentials: dict[Path, Credential] = {}

    def trust(self, ca: Path | None, crl: Path | None = None) -> TrustStore:
        """The authorities of a file; None for the system's.

        :param crl: the file of revocation lists; None looks at no revocation.
        :raises CertificateError: when they cannot be loaded.
        """
        known = self._trust.get((ca, crl))
        if known is None:
            known = self._trust[ca, crl] = TrustStore.load(ca, crl_file=crl)
        return known

    def credential(self, path: Path) -> Credential:
        """The certificate, chain and key of a file.

        :raises CertificateError: when they cannot be loaded or used.
        """
        known = self._credentials.get(path)
        if known is None:
            known = self._credentials[path] = load_credential(path)
        return known

    def context(
        self, profile: TLSProfile, ca: Path | None, certificate: Path | None, crl: Path | None = None
    ) -> ClientContext:
        """A new context.

        :param ca: the file of authorities; None for the system's.
        :param certificate: the file of our own certificate, or None.
        :param crl: the file of revocation lists, or None.
        :raises ConfigError: when the profile cannot be used.
        :raises CertificateError: when a file cannot be loaded.
        """
        credential = None if certificate is None else self.credential(certificate)
        return client_context(profile=profile, credential=credential, trust=self.trust(ca, crl))

    def distrustful(self, profile: TLSProfile, certificate: Path | None) -> ClientContext:
        """A new context that trusts nobody: for levels at which nobody has to be trusted.

        :raises ConfigError: when the profile cannot be used.
        :raises CertificateError: when the certificate cannot be loaded.
        """
        credential = None if certificate is None else self.credential(certificate)
        return client_context(profile=profile, credential=credential, trust=TrustStore(()))
