"""TLS from the gate to the servers behind it: what a backend's keys make of it.

The files are read before the processes fork, with the supervisor's rights, so that the key of a client certificate may
be readable by root only. A pool has one context, and so one store of sessions: the next connection to a server resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gatepost.config.schema import Backend, Config
from gatepost.delivery.setting import context_of
from gatepost.errors import CertificateError, ConfigError
from gatepost.policy.outbound import ClientHandshake
from gatepost.tls.clientfiles import ClientFiles
from gatepost.tls.contexts import ClientContext, ClientTLS
from gatepost.tls.sessions import SessionCache

_SESSIONS: Final = 32  # that are kept for a server: a TLS 1.3 ticket is used once, and many connections begin at once


def backend_files(config: Config, files: ClientFiles | None = None) -> ClientFiles:
    """Read what the backends name: authorities, client certificates. Each is tried, so that errors are found now.

    :param files: where to, when others were read already.
    :raises ConfigError: naming the backend, when the versions or ciphers of ``[tls]`` cannot be used.
    :raises CertificateError: naming the backend, when a file of it cannot be used.
    """
    files = files or ClientFiles()
    for index, backend in enumerate(config.backend):
        try:
            backend_context(config, backend, files)
        except CertificateError as error:
            raise CertificateError(f"backend[{index}]: {error.message}", hint=error.hint) from error
        except ConfigError as error:
            raise ConfigError(f"backend[{index}]: {error.message}", hint=error.hint) from error
    return files


def backend_context(config: Config, backend: Backend, files: ClientFiles) -> ClientContext | None:
    """A new context for a backend; None when its servers are spoken to in the clear.

    :raises ConfigError: when versions or ciphers cannot be used.
    :raises CertificateError: when a file cannot be used.
    """
    if backend.tls == "none":
        return None
    tls, ca, shown = config.tls, backend.ca or config.tls.ca_file, backend.client_certificate
    handshake = ClientHandshake(
        None if ca is None else str(ca), None if shown is None else str(shown),
        tls.minimum, tls.maximum, tls.ciphers, tls.suites,
    )  # fmt: skip
    made = context_of(handshake, backend.level, files)
    return ClientContext(made.context, made.trust, SessionCache(len(backend.servers), _SESSIONS))


def server_tls(
    backend: Backend, context: ClientContext | None, alpn: tuple[str, ...] = ()
) -> Callable[[str], ClientTLS | None]:
    """What a handshake with each server asks for, by the server's host name or address.

    :param alpn: protocols to offer, best first.
    """

    def settings(host: str) -> ClientTLS | None:
        if context is None:
            return None
        return ClientTLS(context, host, backend.level, backend.names or (), alpn, backend.fingerprints or ())

    return settings
