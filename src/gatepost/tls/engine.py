"""The handshake, as a bytes-in, bytes-out engine (pyOpenSSL over memory BIOs). No sockets, no clock of its own.

Both sides are driven alike: ``receive`` what came from the network, ``advance`` until it returns a ``TLSStream``, and
after each write what ``outgoing`` gives, after a failure too: the alert is in it. A failed handshake is the end of the
connection; the same error is raised whenever the engine is asked again.

The server reads the ClientHello itself before OpenSSL sees it (``clienthello``), so no callback is needed. The client
runs without OpenSSL's verification and gives the verdict after the handshake, before any octet of the application is
sent (``verify``).
"""

from __future__ import annotations

import time
from typing import Final, NoReturn, final

from OpenSSL import SSL, crypto

from gatepost.errors import HandshakeError, LocalProtocolError, UpgradeError, VerificationError
from gatepost.tls.alerts import ALERT_NAMES, NO_APPLICATION_PROTOCOL, fatal_alert, received_alert, sent_alert
from gatepost.tls.clienthello import HELLO_LIMIT, HelloRefused, is_foreign, read_client_hello
from gatepost.tls.contexts import ClientTLS, ServerContexts, Vhost
from gatepost.tls.credential import end_point_binding
from gatepost.tls.evidence import client_evidence, facts, server_evidence
from gatepost.tls.sessions import SessionKey, StoredSession
from gatepost.tls.stream import TLSStream, error_reason, read_all
from gatepost.tls.verify import claimed_names, verify_peer
from gatepost.wire.upgrade import EarlyHello, Origin, Role, UpgradeReady, Verification

HANDSHAKE_LIMIT: Final = 262144  # octets of one side's handshake: a long certificate chain is a tenth of it

_FOREIGN_HINT: Final = "the peer sent text where its handshake was due: a broken peer, or an injection"
_NOT_TLS: Final = frozenset({"wrong version number", "http request", "https proxy request", "bad record type"})


def _spend(ready: UpgradeReady, role: Role) -> Origin:
    if ready.role is not role:
        raise LocalProtocolError(f"a {ready.role.value}'s upgrade cannot begin a {role.value}'s handshake")
    return ready.spend()


def _foreign(data: bytes | bytearray) -> bool:
    """Whether something that is not TLS stands at a record's beginning in ``data``, which begins at one."""
    at = 0
    while at + 5 <= len(data):
        if is_foreign(data[at]):
            return True
        at += 5 + (data[at + 3] << 8 | data[at + 4])
    return at < len(data) and is_foreign(data[at])


def _refusal(error: SSL.Error, received: bytes | bytearray, sent: bytes) -> HandshakeError:
    """Translate OpenSSL's error."""
    reason = error_reason(error)
    plaintext = reason in _NOT_TLS and _foreign(received)
    alert = received_alert(reason) or sent_alert(sent)
    return HandshakeError(
        f"the TLS handshake failed: {reason}", alert=alert, plaintext=plaintext, hint=_FOREIGN_HINT if plaintext else ""
    )


@final
class ServerHandshake:
    """The server's side of a handshake.

    :param contexts: what may be shown, chosen among by SNI.
    :param ready: the token of the spent plaintext engine.
    :param alpn: the protocols that this listener speaks. A client that offers others only is refused with alert 120
        (RFC 7301 §3.2, against cross-protocol attacks); one that offers none is served.
    :param early: the beginning of the ClientHello, when it came together with the upgrade line.
    :raises LocalProtocolError: when the token is a client's, or was spent before.
    """

    __slots__ = ("_alpn", "_connection", "_contexts", "_failure", "_flight", "_missing", "_origin", "_out", "_received",
                 "_server_name", "_total", "_vhost")  # fmt: skip

    _received: bytes | bytearray

    def __init__(
        self,
        contexts: ServerContexts,
        ready: UpgradeReady,
        *,
        alpn: frozenset[str] = frozenset(),
        early: EarlyHello | None = None,
    ) -> None:
        self._begin(contexts, _spend(ready, Role.SERVER), alpn)
        if early is not None:
            self._received = early.open()

    @classmethod
    def implicit(
        cls, contexts: ServerContexts, origin: Origin, *, alpn: frozenset[str] = frozenset()
    ) -> ServerHandshake:
        """The handshake of a connection that is private from its first octet (RFC 8314 §3)."""
        self = cls.__new__(cls)
        self._begin(contexts, origin, alpn)
        return self

    def _begin(self, contexts: ServerContexts, origin: Origin, alpn: frozenset[str]) -> None:
        self._contexts = contexts
        self._origin = origin
        self._alpn = alpn
        self._connection: SSL.Connection | None = None
        self._vhost: Vhost | None = None
        self._server_name: str | None = None
        self._failure: UpgradeError | None = None
        self._received = b""  # not yet given to OpenSSL
        self._total = 0
        self._flight = b""
        self._out = b""

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self._origin

    def receive(self, data: bytes) -> None:
        """Take octets from the network."""
        if not self._received:
            self._received = data
        elif isinstance(self._received, bytearray):
            self._received += data
        else:
            self._received = bytearray(self._received + data)

    def receive_eof(self) -> NoReturn:
        """The network connection ended.

        :raises HandshakeError: always.
        """
        self._fail(HandshakeError("the connection ended in the middle of the TLS handshake"))

    def outgoing(self) -> bytes:
        """Take what must be written to the network; after a failure that is the alert."""
        out, self._out = self._out, b""
        return out

    def advance(self) -> TLSStream | None:
        """Go on with what has been received.

        :return: the private connection, once the handshake is complete; None while octets are missing. What the
            handshake still has to send is then in the stream's ``outgoing``.
        :raises HandshakeError: it failed.
        """
        if self._failure is not None:
            raise self._failure
        connection = self._connection
        if connection is None:
            connection = self._open()
            if connection is None:
                return None
        received = self._received
        if received:
            connection.bio_write(received)
            self._received = b""
            self._total += len(received)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            out = read_all(connection) if received else b""
            self._flight += out
            self._out += out
            if self._total > HANDSHAKE_LIMIT:
                self._fail(HandshakeError("the TLS handshake was longer than any has reason to be"))
            return None
        except SSL.Error as error:
            out = read_all(connection)
            self._out += out
            self._fail(_refusal(error, received, out))
        out = read_all(connection)
        return self._complete(connection, out)

    def _open(self) -> SSL.Connection | None:
        """Read the ClientHello and make the TLS object it asks for; None while it is incomplete."""
        try:
            hello = read_client_hello(self._received)
        except HelloRefused as error:
            if error.number is not None:
                self._out = fatal_alert(error.number)
            self._fail(error)
        if hello is None:
            return None
        if hello.alpn is not None and not any(name.decode("latin-1") in self._alpn for name in hello.alpn):
            self._out = fatal_alert(NO_APPLICATION_PROTOCOL)
            offered = ", ".join(ascii(name.decode("latin-1")) for name in hello.alpn[:8])
            message = f"the client offers none of our protocols by ALPN, only {offered}"
            self._fail(HandshakeError(message, alert=ALERT_NAMES[NO_APPLICATION_PROTOCOL]))
        self._server_name = hello.server_name
        self._vhost = vhost = self._contexts.select(hello.server_name)
        self._connection = connection = SSL.Connection(vhost.context)
        connection.set_accept_state()
        return connection

    def _complete(self, connection: SSL.Connection, out: bytes) -> TLSStream:
        assert self._vhost is not None
        try:
            evidence = server_evidence(connection, self._flight + out, self._server_name, self._vhost)
        except HandshakeError as error:
            self._fail(error)
        out, self._out = self._out + out, b""
        self._failure = LocalFinished()
        return TLSStream(connection, self._origin, evidence, out=out)

    def _fail(self, error: UpgradeError) -> NoReturn:
        self._failure = error
        self._connection = None
        self._received = b""
        raise error
