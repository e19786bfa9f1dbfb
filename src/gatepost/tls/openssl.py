"""One TLS 1.3 ticket a handshake instead of two.

OpenSSL sends two tickets after every full handshake (RFC 8446 §4.6.1 lets a server choose), and pyOpenSSL has no call
to change that. The number can be set only through an OpenSSL configuration, and only before OpenSSL is loaded. So a
program that serves calls ``limit_tickets`` before it uses any name of ``gatepost.tls``. Where OpenSSL is loaded
already, or the operator has a configuration of his own, nothing is done.

Nothing here imports OpenSSL.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_VARIABLE: Final = "OPENSSL_CONF"
_LOADERS: Final = ("cryptography.hazmat.bindings._rust", "OpenSSL.SSL")


def configuration(tickets: int) -> bytes:
    """The OpenSSL configuration that sets the number of TLS 1.3 tickets (config(5), ``SSL_CONF_cmd(3)``)."""
    return (
        b"openssl_conf = gatepost\n[gatepost]\nssl_conf = modules\n[modules]\nsystem_default = tls\n"
        b"[tls]\nNumTickets = %d\n" % tickets
    )


def limit_tickets(tickets: int = 1) -> bool:
    """Load OpenSSL with a configuration that makes servers send ``tickets`` TLS 1.3 tickets after a full handshake.

    The configuration lives in an anonymous file while OpenSSL reads it; environment and descriptors are then as before.

    :return: whether it could be done: not when OpenSSL is loaded already or ``OPENSSL_CONF`` is set.
    """
    if _VARIABLE in os.environ or any(name in sys.modules for name in _LOADERS):
        return False
    file = os.memfd_create("openssl.cnf")
    try:
        os.write(file, configuration(tickets))
        os.environ[_VARIABLE] = f"/proc/self/fd/{file}"
        from OpenSSL import SSL

        SSL.Context(SSL.TLS_METHOD)
    finally:
        os.environ.pop(_VARIABLE, None)
        os.close(file)
    return True
