"""The handshake, as a bytes-in, bytes-out engine (pyOpenSSL over memory BIOs). No sockets, no clock of its own.

Both sides are driven alike: ``receive`` what came from the network, ``advance`` until it returns a ``TLSStream``, and
after each write what ``outgoing`` gives, after a failure too: the alert is in it. A failed handshake is the end of the
connection.

OpenSSL is given whole records only, so whatever comes behind the handshake is known, and is the stream's to read.

The server reads the ClientHello itself before OpenSSL sees it (``clienthello``), so no callback is needed. The client
runs without OpenSSL's verification and gives the verdict after the handshake, before any octet of the application is
sent (``verify``).
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import Final, NoReturn, final

from OpenSSL import SSL, crypto

from gatepost.errors import HandshakeError, LocalProtocolError, VerificationError
from gatepost.tls.alerts import ALERT_NAMES, NO_APPLICATION_PROTOCOL, fatal_alert, received_alert, sent_alert
from gatepost.tls.clienthello import HelloRefused, is_foreign, read_client_hello
from gatepost.tls.contexts import ClientTLS, ServerContexts, Vhost
from gatepost.tls.credential import end_point_binding, read_certificate
from gatepost.tls.evidence import client_evidence, facts, server_evidence
from gatepost.tls.memory import read_all
from gatepost.tls.observer import HandshakeObserver, state_of
from gatepost.tls.sessions import SessionKey, StoredSession
from gatepost.tls.stream import TLSStream, error_reason
from gatepost.tls.verify import claimed_names, match_fingerprint, verify_peer
from gatepost.wire.upgrade import EarlyHello, Origin, Role, UpgradeReady, Verification

HANDSHAKE_LIMIT: Final = 262144  # octets of one side's handshake: a long certificate chain is a tenth of it

_FOREIGN_HINT: Final = "the peer sent text where its handshake was due: a broken peer, or an injection"
_RECORD_LIMIT: Final = 16384 + 2048  # RFC 5246 §6.2.3
_CHANGE_CIPHER_SPEC: Final = 20
_CHANGES_LIMIT: Final = 8  # in a row; a peer sends one, and a flood of them must not be read again with each segment
_FLIGHT_LIMIT: Final = 65536
_OVER: Final = "this handshake is over"


def _spend(ready: UpgradeReady, role: Role) -> Origin:
    if ready.role is not role:
        raise LocalProtocolError(f"a {ready.role.value}'s upgrade cannot begin a {role.value}'s handshake")
    return ready.spend()


def _flight_end(data: bytes | bytearray) -> int:
    """Where the first record ends that is more than a ChangeCipherSpec, or one of too many; 0 while it is incomplete.

    What claims to be longer than any record ends at once: OpenSSL then refuses it with the alert that is due.
    """
    at = 0
    size = len(data)
    changes = 0
    while at + 5 <= size:
        length = data[at + 3] << 8 | data[at + 4]
        end = at + 5 + length
        if length > _RECORD_LIMIT:
            return size
        if end > size:
            return 0
        changes += 1
        if data[at] != _CHANGE_CIPHER_SPEC or changes > _CHANGES_LIMIT:
            return end
        at = end
    return 0


def _step(connection: SSL.Connection, records: bytes | bytearray) -> bool:
    """Give OpenSSL whole records; whether the handshake is complete.

    :raises SSL.Error: it failed.
    """
    connection.bio_write(records)
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _refusal(error: SSL.Error, received: bytes | bytearray, sent: bytes) -> HandshakeError:
    """Translate OpenSSL's error.

    :param received: the records it was about, and what came behind them.
    :param sent: what OpenSSL then wanted to send.
    """
    reason = error_reason(error)
    plaintext = is_foreign(received[0])
    alert = received_alert(reason) or sent_alert(sent)
    return HandshakeError(
        f"the TLS handshake failed: {reason}", alert=alert, plaintext=plaintext, hint=_FOREIGN_HINT if plaintext else ""
    )


class _Handshake:
    """What both sides have in common: the buffers, and the end."""

    __slots__ = ("_connection", "_flight", "_observer", "_origin", "_out", "_over", "_polls", "_received", "_total")

    _received: bytes | bytearray

    def _begin(self, origin: Origin) -> None:
        self._origin = origin
        self._connection: SSL.Connection | None = None
        self._received = b""  # not yet given to OpenSSL
        self._total = 0  # octets that OpenSSL has been given
        self._flight = b""  # the server's plaintext flight
        self._out = b""
        self._over = False
        self._observer: HandshakeObserver | None = None
        self._polls = False

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self._origin

    def observe(self, observer: HandshakeObserver) -> None:
        """Tell ``observer`` what happens from now on, as far as that is seen without a callback."""
        self._observer = observer
        self._polls = True
        observer.uninformed()

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
        self._end()
        raise HandshakeError("the connection ended in the middle of the TLS handshake")

    def outgoing(self) -> bytes:
        """Take what must be written to the network; after a failure that is the alert."""
        out, self._out = self._out, b""
        return out

    def _end(self) -> None:
        """Nothing more happens here. The error is not kept: its traceback would keep the connection alive."""
        if self._over:
            raise LocalProtocolError(_OVER)
        self._over = True
        self._connection = None
        self._received = b""

    def _run(self, connection: SSL.Connection) -> bool:
        """Feed what is there, record by record; whether the handshake is complete.

        :raises HandshakeError: it failed.
        """
        while end := _flight_end(received := self._received):
            self._total += end
            if self._total > HANDSHAKE_LIMIT:
                self._end()
                raise HandshakeError("the TLS handshake was longer than any has reason to be")
            self._watch(received, end)
            try:
                complete = _step(connection, received if end == len(received) else received[:end])
            except SSL.Error as error:
                out = read_all(connection)
                self._out += out
                self._end()
                raise _refusal(error, received, out) from error
            if self._polls and self._observer is not None:
                self._observer.state(state_of(connection))
            self._received = received[end:]
            if complete:
                return True
        return False

    def _watch(self, received: bytes | bytearray, end: int) -> None:
        """See records before OpenSSL does."""


@final
class ServerHandshake(_Handshake):
    """The server's side of a handshake.

    :param contexts: what may be shown, chosen among by SNI.
    :param ready: the token of the spent plaintext engine.
    :param alpn: the protocols that this listener speaks. A client that offers others only is refused with alert 120
        (RFC 7301 §3.2, against cross-protocol attacks); one that offers none is served.
    :param early: the beginning of the ClientHello, when it came together with the upgrade line.
    :param bindings: whether the evidence has channel bindings; a listener that offers no login can save their cost.
    :raises LocalProtocolError: when the token is a client's, or was spent before.
    """

    __slots__ = ("_alpn", "_bindings", "_contexts", "_server_name", "_vhost")

    def __init__(
        self,
        contexts: ServerContexts,
        ready: UpgradeReady,
        *,
        alpn: frozenset[str] = frozenset(),
        early: EarlyHello | None = None,
        bindings: bool = True,
    ) -> None:
        self._begin_server(contexts, _spend(ready, Role.SERVER), alpn, bindings)
        if early is not None:
            self._received = early.open()

    @classmethod
    def implicit(
        cls, contexts: ServerContexts, origin: Origin, *, alpn: frozenset[str] = frozenset(), bindings: bool = True
    ) -> ServerHandshake:
        """The handshake of a connection that is private from its first octet (RFC 8314 §3)."""
        self = cls.__new__(cls)
        self._begin_server(contexts, origin, alpn, bindings)
        return self

    def _begin_server(self, contexts: ServerContexts, origin: Origin, alpn: frozenset[str], bindings: bool) -> None:
        self._begin(origin)
        self._bindings = bindings
        self._contexts = contexts
        self._alpn = alpn
        self._vhost: Vhost | None = None
        self._server_name: str | None = None

    def advance(self) -> TLSStream | None:
        """Go on with what has been received.

        :return: the private connection, once the handshake is complete; None while octets are missing. What the
            handshake still has to send is then in the stream's ``outgoing``.
        :raises HandshakeError: it failed.
        :raises LocalProtocolError: it had failed, or was complete, before.
        """
        if self._over:
            raise LocalProtocolError(_OVER)
        connection = self._connection
        if connection is None:
            connection = self._open()
            if connection is None:
                return None
        if not self._received:
            return None
        complete = self._run(connection)
        out = read_all(connection)
        self._flight += out
        if not complete:
            self._out += out
            return None
        return self._complete(connection, self._out + out)

    def _open(self) -> SSL.Connection | None:
        """Read the ClientHello and make the TLS object it asks for; None while it is incomplete."""
        try:
            hello = read_client_hello(self._received)
        except HelloRefused as error:
            if error.number is not None:
                self._out = fatal_alert(error.number)
            self._end()
            raise
        if hello is None:
            return None
        if hello.alpn is not None and not any(name.decode("latin-1") in self._alpn for name in hello.alpn):
            self._out = fatal_alert(NO_APPLICATION_PROTOCOL)
            self._end()
            offered = ", ".join(ascii(name.decode("latin-1"))[:66] for name in hello.alpn[:8])
            raise HandshakeError(
                f"the client offers by ALPN none of our protocols, only {offered}",
                alert=ALERT_NAMES[NO_APPLICATION_PROTOCOL],
            )
        self._server_name = hello.server_name
        self._vhost = vhost = self._contexts.select(hello.server_name)
        self._connection = connection = SSL.Connection(vhost.context)
        connection.set_accept_state()
        return connection

    def _complete(self, connection: SSL.Connection, out: bytes) -> TLSStream:
        assert self._vhost is not None
        surplus = bytes(self._received)
        self._out = b""
        self._end()
        evidence = server_evidence(connection, self._flight, self._server_name, self._vhost, bindings=self._bindings)
        return TLSStream(connection, self._origin, evidence, out=out, surplus=surplus)


@final
class ClientHandshake(_Handshake):
    """The client's side of a handshake. ``outgoing`` has the ClientHello from the beginning.

    :param settings: the context, the name, and how much must be proved.
    :param ready: the token of the spent plaintext engine.
    :param at: the time of the verdict on the certificate, in seconds since the epoch; by default the time it is given.
    :param observer: told what happens.
    :raises LocalProtocolError: when the token is a server's, or was spent before.
    """

    __slots__ = ("_at", "_key", "_offered", "_settings")

    def __init__(
        self,
        settings: ClientTLS,
        ready: UpgradeReady,
        *,
        at: float | None = None,
        observer: HandshakeObserver | None = None,
    ) -> None:
        self._begin_client(settings, _spend(ready, Role.CLIENT), at, observer)

    @classmethod
    def implicit(
        cls,
        settings: ClientTLS,
        origin: Origin,
        *,
        at: float | None = None,
        observer: HandshakeObserver | None = None,
    ) -> ClientHandshake:
        """The handshake of a connection that is private from its first octet (RFC 8314 §3)."""
        self = cls.__new__(cls)
        self._begin_client(settings, origin, at, observer)
        return self

    def _begin_client(
        self, settings: ClientTLS, origin: Origin, at: float | None, observer: HandshakeObserver | None
    ) -> None:
        self._begin(origin)
        self._settings = settings
        self._at = at
        self._key: SessionKey = (
            *origin.peer, settings.server_name, settings.level, settings.names, settings.alpn, settings.pins,
        )  # fmt: skip
        self._offered: StoredSession | None = settings.context.sessions.take(self._key)
        if self._offered is not None and self._offered.context is not settings.context.context:
            self._offered = None  # made by another context, with other anchors: it is worth nothing here
        self._connection = connection = SSL.Connection(settings.context.context)
        connection.set_connect_state()
        if observer is not None:
            self._watched_by(observer, connection)
        if settings.sni is not None:
            connection.set_tlsext_host_name(settings.sni)
        if settings.alpn:
            connection.set_alpn_protos([name.encode("ascii") for name in settings.alpn])
        if self._offered is not None:
            connection.set_session(self._offered.session)
        with contextlib.suppress(SSL.WantReadError):
            connection.do_handshake()
        self._out = read_all(connection)

    def advance(self) -> TLSStream | None:
        """Go on with what has been received.

        :return: the private connection, once the handshake is complete and the peer is as good as the settings ask;
            None while octets are missing. What the handshake still has to send is then in the stream's ``outgoing``.
        :raises HandshakeError: it failed.
        :raises VerificationError: it did not, but the peer is not who it should be. ``outgoing`` says goodbye.
        :raises LocalProtocolError: it had failed, or was complete, before.
        """
        connection = self._connection
        if connection is None:
            raise LocalProtocolError(_OVER)
        if self._received and is_foreign(self._received[0]):
            self._end()
            raise HandshakeError(
                "plaintext arrived where the TLS handshake was due", plaintext=True, hint=_FOREIGN_HINT
            )
        complete = self._run(connection)
        out = read_all(connection)
        if not complete:
            self._out += out
            return None
        return self._complete(connection, self._out + out)

    def _watched_by(self, observer: HandshakeObserver, connection: SSL.Connection) -> None:
        if self._settings.context.observable:
            self._observer = observer
            connection.set_app_data(observer)
        else:
            self.observe(observer)

    def _watch(self, received: bytes | bytearray, end: int) -> None:
        if len(self._flight) < _FLIGHT_LIMIT:  # the ServerHello and what follows it is at the beginning
            self._flight += received[:end]

    def _complete(self, connection: SSL.Connection, out: bytes) -> TLSStream:
        surplus = bytes(self._received)
        self._out = b""
        self._end()
        settings = self._settings
        hello = facts(self._flight)
        alpn = connection.get_alpn_proto_negotiated().decode("latin-1") or None
        if alpn is not None and alpn not in settings.alpn:
            raise HandshakeError(f"the server chose {alpn!a} by ALPN, which we did not offer (RFC 7301 §3.2)")
        if hello.resumed and self._offered is not None:
            chain = self._offered.chain
        else:
            certificates = connection.get_peer_cert_chain() or []
            chain = tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in certificates)
        if self._observer is not None:
            self._observer.certificates(chain)
        try:
            verification = self._judge(chain)
        except VerificationError:
            with contextlib.suppress(SSL.Error):
                connection.shutdown()
            self._out = out + read_all(connection)
            raise
        evidence = client_evidence(
            connection,
            hello,
            server_name=settings.server_name,
            alpn=alpn,
            peer_chain=chain,
            verification=verification,
            end_point=_end_point(chain),
        )
        keep = functools.partial(_keep_session, settings, self._key, connection, chain)
        return TLSStream(connection, self._origin, evidence, out=out, surplus=surplus, on_plaintext=keep)

    def _judge(self, chain: tuple[bytes, ...]) -> Verification:
        """The verdict; what is not required to be good is only recorded."""
        settings = self._settings
        if settings.level == "fingerprint":
            return match_fingerprint(chain, settings.pins)
        at = time.time() if self._at is None else self._at
        try:
            return verify_peer(chain, trust=settings.context.trust, names=settings.references, purpose="server", at=at)
        except VerificationError as error:
            if settings.level == "verify":
                raise
            status = "untrusted" if chain else "none"
            return Verification(status, f"{error.reason}: {error.message}", claimed_names(chain))


def _end_point(chain: tuple[bytes, ...]) -> bytes | None:
    try:
        return end_point_binding(read_certificate(chain[0])) if chain else None
    except ValueError:
        return None


def _keep_session(settings: ClientTLS, key: SessionKey, connection: SSL.Connection, chain: tuple[bytes, ...]) -> None:
    """Keep the session for the next connection, with the first plaintext: the ticket has come (RFC 8446 §4.6.1)."""
    session = connection.get_session()
    if session is not None:  # pragma: no branch  # behind a handshake there is one; pyOpenSSL's type cannot say so
        settings.context.sessions.store(key, StoredSession(session, chain, settings.context.context))
